//! Parameters of which a file keeps parts: queries, keys and values.
//!
//! They are joined when the parameter is first used, so that loading a model only maps its file, and what is not used
//! takes no memory.

use super::room::Room;
use burn::tensor::{DType, TensorData};
use regulus_checkpoints::SharedBytes;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Bytes that a thread copies at a time: a large page of most systems, since getting pages takes longer than copying.
const STEP: usize = 2 << 20;

/// The f32 values in `parts`, one part after the other, flattened.
pub(super) fn joined(parts: &[SharedBytes]) -> TensorData {
    let bytes: usize = parts.iter().map(|part| part.as_ref().len()).sum();
    let count = bytes / size_of::<f32>();
    let mut room = Room::new(count);
    let places = Mutex::new(bytemuck::cast_slice_mut::<f32, u8>(room.values()).chunks_mut(STEP).enumerate());
    let next = || places.lock().unwrap_or_else(PoisonError::into_inner).next();
    let copy = || {
        while let Some((step, place)) = next() {
            fill(place, step * STEP, parts);
        }
    };
    let helpers = bytes.div_ceil(STEP).min(rayon::current_num_threads()).saturating_sub(1);
    // Not in the shared pool: whoever waits there takes up other work, which may need this parameter.
    thread::scope(|scope| {
        for _ in 0..helpers {
            // Where the system gives no thread, the others do its work.
            let _ = thread::Builder::new().spawn_scoped(scope, copy);
        }
        copy();
    });
    parts.iter().for_each(SharedBytes::release);
    TensorData::from_bytes(room.into_bytes(), [count], DType::F32)
}

/// Fills `place` with what lies `begin` bytes behind the beginning of the first part.
fn fill(mut place: &mut [u8], mut begin: usize, parts: &[SharedBytes]) {
    for part in parts {
        let own = part.as_ref().get(begin..).unwrap_or_default();
        let (now, later) = place.split_at_mut(own.len().min(place.len()));
        now.copy_from_slice(&own[..now.len()]);
        place = later;
        begin = begin.saturating_sub(part.as_ref().len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rayon::prelude::*;
    use regulus_checkpoints::Checkpoint;
    use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
    use std::sync::OnceLock;

    const OF_A_STEP: usize = STEP / size_of::<f32>();

    /// Parts of a file with these numbers of values, and the values.
    fn parts(sizes: &[usize]) -> (Vec<SharedBytes>, Vec<f32>) {
        let mut numbers = (0..).map(|number| number as f32);
        let values: Vec<Vec<f32>> = sizes.iter().map(|size| numbers.by_ref().take(*size).collect()).collect();
        let views = values.iter().enumerate().map(|(part, values)| {
            let bytes = bytemuck::cast_slice(values);
            (part.to_string(), TensorView::new(Dtype::F32, vec![values.len()], bytes).unwrap())
        });
        let file = tempfile::NamedTempFile::with_suffix(".safetensors").unwrap();
        serialize_to_file(views, None, file.path()).unwrap();
        let checkpoint = Checkpoint::open(file.path()).unwrap();
        let part = |part: usize| checkpoint.tensor(&part.to_string()).unwrap().shared_f32().unwrap();
        ((0..sizes.len()).map(part).collect(), values.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn parts_of_any_size_follow_one_another(
            sizes in prop::collection::vec(
                prop_oneof![0..3_usize, OF_A_STEP - 1..OF_A_STEP + 2, 0..3 * OF_A_STEP], 1..5,
            ),
        ) {
            let (parts, values) = parts(&sizes);
            prop_assert_eq!(joined(&parts).try_to_vec::<f32>().unwrap(), values);
        }
    }

    /// They wait for the one who joins, which needs none of them.
    #[test]
    fn all_threads_of_a_pool_may_want_the_same() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let (parts, values) = parts(&[3 * OF_A_STEP, OF_A_STEP, 2 * OF_A_STEP]);
        for _ in 0..20 {
            let found = OnceLock::new();
            let user = |_| found.get_or_init(|| joined(&parts)).as_slice::<f32>().unwrap() == values;
            assert!(pool.install(|| (0..12).into_par_iter().all(user)));
        }
    }
}
