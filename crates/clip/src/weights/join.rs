//! Parameters of which a file keeps parts: queries, keys and values.
//!
//! They are joined when the parameter is first used, so that loading a model only maps its file, and what is not used
//! takes no memory.

use super::room::Room;
use burn::tensor::{DType, TensorData};
use regulus_checkpoints::SharedBytes;
use std::num::NonZero;
use std::thread;

/// Bytes that are copied by one thread.
const STEP: usize = 256 << 10;

/// The f32 values in `parts`, one part after the other, flattened.
pub(super) fn joined(parts: &[SharedBytes]) -> TensorData {
    let bytes: usize = parts.iter().map(|part| part.as_ref().len()).sum();
    let count = bytes / size_of::<f32>();
    let mut room = Room::new(count);
    let mut rest = bytemuck::cast_slice_mut::<f32, u8>(room.values());
    let mut copies = Vec::new();
    for part in parts {
        let (places, after) = rest.split_at_mut(part.as_ref().len());
        copies.extend(places.chunks_mut(STEP).zip(part.as_ref().chunks(STEP)));
        rest = after;
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = copies.len().div_ceil(threads).max(1);
    // Not in the shared pool: whoever waits there takes up other work, which may need this parameter.
    thread::scope(|scope| {
        let mut shares = copies.chunks_mut(share);
        let own = shares.next();
        for others in shares {
            scope.spawn(|| copy(others));
        }
        own.into_iter().for_each(copy);
    });
    parts.iter().for_each(SharedBytes::release);
    TensorData::from_bytes(room.into_bytes(), [count], DType::F32)
}

fn copy(pieces: &mut [(&mut [u8], &[u8])]) {
    pieces.iter_mut().for_each(|(place, piece)| place.copy_from_slice(piece));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regulus_checkpoints::Checkpoint;
    use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

    const OF_A_STEP: usize = STEP / size_of::<f32>();

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn parts_of_any_size_follow_one_another(
            sizes in prop::collection::vec(prop_oneof![0..3_usize, OF_A_STEP - 1..OF_A_STEP + 2, 0..5 * OF_A_STEP], 1..5),
        ) {
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
            let parts: Vec<SharedBytes> = (0..sizes.len()).map(part).collect();
            prop_assert_eq!(joined(&parts).try_to_vec::<f32>().unwrap(), values.concat());
        }
    }
}
