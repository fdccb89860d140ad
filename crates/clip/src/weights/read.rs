//! Strict reading: every tensor of the file is used, every parameter is found, all shapes agree,
//! or nothing is loaded.

use super::room::Room;
use super::{Layout, Piece, TensorFault, WeightsError, transpose};
use crate::parameters::{filled, shapes};
use burn::module::Module;
use burn::tensor::{AllocationProperty, Bytes, DType, Device, Tensor, TensorData};
use regulus_checkpoints::Checkpoint;
use std::collections::BTreeMap;

/// Gives `module` the parameters in `checkpoint`.
pub(crate) fn read<M: Module>(
    module: M,
    layout: &dyn Layout,
    checkpoint: &Checkpoint,
    device: &Device,
) -> Result<M, WeightsError> {
    let faults = faults(&module, layout, checkpoint);
    if !faults.is_empty() {
        return Err(WeightsError::Mismatch { path: checkpoint.path().into(), faults });
    }
    let filled = filled(module, &mut |path, shape| {
        let (pieces, count) = (layout.pieces(path, shape), shape.iter().product());
        let bytes = shared(&pieces, checkpoint).or_else(|| converted(&pieces, count, checkpoint))?;
        Some(Tensor::from_data(TensorData::from_bytes(bytes, [count], DType::F32), device))
    });
    // A device with memory of its own copies the file when it comes to it, and who called may change the file then. A
    // copy that failed is told by the first computation with it.
    let _ = device.sync();
    Ok(filled)
}

/// Everything that does not fit, sorted by key.
fn faults<M: Module>(module: &M, layout: &dyn Layout, checkpoint: &Checkpoint) -> Vec<TensorFault> {
    let pieces = shapes(module, "").into_iter().flat_map(|(path, shape)| layout.pieces(&path, &shape));
    let expected: BTreeMap<String, Vec<usize>> = pieces.map(|piece| (piece.key, piece.shape)).collect();
    let wanted = expected.iter().filter_map(|(key, expected)| {
        let (key, expected) = (key.clone(), expected.clone());
        let Some(tensor) = checkpoint.tensor(&key) else {
            return Some(TensorFault::Missing { key, expected });
        };
        if tensor.shape() != expected {
            return Some(TensorFault::Misshapen { key, found: tensor.shape().to_vec(), expected });
        }
        let found = tensor.dtype();
        (!found.is_float()).then(|| TensorFault::Type { key, found: found.to_string() })
    });
    let found =
        checkpoint.tensors().filter(|(key, _)| !expected.contains_key(*key) && !layout.is_harmless(key));
    let unused = found
        .map(|(key, tensor)| TensorFault::Unused { key: key.to_string(), found: tensor.shape().to_vec() });
    let mut faults: Vec<TensorFault> = wanted.chain(unused).collect();
    faults.sort_by(|a, b| a.key().cmp(b.key()));
    faults
}

/// The values of a parameter where they lie in the file, if the file holds them as memory does. They are only read: who
/// changes them gets a copy of its own.
fn shared(pieces: &[Piece], checkpoint: &Checkpoint) -> Option<Bytes> {
    let [Piece { key, transposed: false, .. }] = pieces else { return None };
    let bytes = checkpoint.tensor(key)?.shared_f32()?;
    Some(Bytes::from_shared(bytes::Bytes::from_owner(bytes), AllocationProperty::File))
}

/// The `count` values of a parameter, one piece after the other. `None` if a tensor is not floating-point.
fn converted(pieces: &[Piece], count: usize, checkpoint: &Checkpoint) -> Option<Bytes> {
    let mut room = Room::new(count);
    let mut rest = room.values();
    for piece in pieces {
        let tensor = checkpoint.tensor(&piece.key)?;
        let (places, after) = rest.split_at_mut_checked(tensor.numel())?;
        match (piece.transposed, piece.shape.as_slice()) {
            (true, &[rows, columns]) => {
                places.copy_from_slice(&transpose(&tensor.to_f32()?, rows, columns));
            }
            _ if tensor.write_f32(places) => {}
            _ => return None,
        }
        rest = after;
    }
    Some(room.into_bytes())
}
