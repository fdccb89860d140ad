//! Strict reading: every tensor of the file is used, every parameter is found, all shapes agree,
//! or nothing is loaded.

use super::{Layout, Piece, TensorFault, WeightsError, transpose};
use crate::parameters::{filled, shapes};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use regulus_checkpoints::{Checkpoint, TensorView};
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
    Ok(filled(module, &mut |path, shape| {
        let values = match layout.pieces(path, shape).as_slice() {
            [piece] => piece_values(piece, &checkpoint.tensor(&piece.key)?)?,
            pieces => {
                let mut values = Vec::with_capacity(shape.iter().product());
                for piece in pieces {
                    values.extend(piece_values(piece, &checkpoint.tensor(&piece.key)?)?);
                }
                values
            }
        };
        let count = values.len();
        Some(Tensor::from_data(TensorData::new(values, [count]), device))
    }))
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

/// The values of a piece, in the order of the parameter. `None` for a tensor that is not floating-point.
fn piece_values(piece: &Piece, tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let values = tensor.to_f32()?;
    match (piece.transposed, piece.shape.as_slice()) {
        (true, &[rows, columns]) => Some(transpose(&values, rows, columns)),
        _ => Some(values),
    }
}
