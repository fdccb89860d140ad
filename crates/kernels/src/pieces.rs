//! Flat tensors piece by piece in one pass: for updates of parameters, which would otherwise be a dozen passes over memory.

use burn::tensor::Tensor;

use crate::{flex, parallel};

/// Values per task.
const PIECE: usize = 1 << 14;

/// Lets `work` change pieces of `written`, given the same pieces of `read`: in parallel, and in place where no one else
/// holds the memory.
///
/// # Errors
/// The tensors unchanged, where they are not plain f32 tensors of the flex backend.
///
/// # Panics
/// If their lengths differ.
pub(crate) fn in_pieces<const N: usize>(
    read: &Tensor<1>,
    written: [Tensor<1>; N],
    work: impl Fn(&[f32], [&mut [f32]; N]) + Sync + Send,
) -> Result<[Tensor<1>; N], [Tensor<1>; N]> {
    let [length] = read.dims();
    let lengths = written.each_ref().map(|tensor| tensor.dims()[0]);
    assert!(lengths.iter().all(|&other| other == length), "pieces of {length} and {lengths:?} values");
    if let (Some(read), true) = (flex::plain(read), written.iter().all(flex::is_plain)) {
        let mut values = written.map(flex::into_plain);
        let mut pieces = values.each_mut().map(|values| values.storage_mut::<f32>().chunks_mut(PIECE));
        let tasks = read.storage::<f32>().chunks(PIECE).map(|read| {
            let written = pieces.each_mut().map(|pieces| pieces.next().unwrap_or_default());
            (read, written)
        });
        parallel::run(tasks, || (), |(), (read, written)| work(read, written));
        return Ok(values.map(flex::from_plain));
    }
    Err(written)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, FloatDType, TensorData};

    use super::*;

    fn tensor(values: Vec<f32>) -> Tensor<1> {
        let length = values.len();
        Tensor::from_data(TensorData::new(values, [length]), &Device::flex())
    }

    fn add(read: &[f32], [a, b]: [&mut [f32]; 2]) {
        for ((read, a), b) in read.iter().zip(a).zip(b) {
            *a += read;
            *b *= 2.0;
        }
    }

    #[test]
    fn every_value_is_seen_once_and_other_holders_keep_theirs() {
        let length = 3 * PIECE + 5;
        let read = tensor((0..length).map(|value| value as f32).collect());
        let (a, b) = (tensor(vec![1.0; length]), tensor(vec![3.0; length]));
        let kept = a.clone();
        let Ok([a, b]) = in_pieces(&read, [a, b], add) else { panic!("plain tensors") };
        let sums: Vec<f32> = a.into_data().try_to_vec().unwrap();
        assert!(sums.iter().enumerate().all(|(index, &sum)| sum == index as f32 + 1.0));
        assert_eq!(b.into_data().try_to_vec::<f32>().unwrap(), vec![6.0; length]);
        assert_eq!(kept.into_data().try_to_vec::<f32>().unwrap(), vec![1.0; length]);
    }

    #[test]
    fn other_tensors_come_back() {
        let read = tensor(vec![1.0; 3]);
        let narrow = || tensor(vec![1.0; 3]).cast(FloatDType::F16);
        assert!(in_pieces(&read, [tensor(vec![1.0; 3]), narrow()], add).is_err());
        let tracked = tensor(vec![1.0; 3]).autodiff();
        assert!(in_pieces(&read, [tensor(vec![1.0; 3]), tracked], add).is_err());
    }

    #[test]
    fn views_are_read_in_their_order() {
        let read = tensor(vec![0.0, 1.0, 2.0, 3.0]).narrow(0, 1, 2);
        let view = tensor(vec![9.0, 9.0, 1.0, 2.0]).narrow(0, 2, 2);
        let Ok([a, _]) = in_pieces(&read, [view, tensor(vec![0.0; 2])], add) else { panic!("plain tensors") };
        assert_eq!(a.into_data().try_to_vec::<f32>().unwrap(), [2.0, 4.0]);
    }
}
