//! Strict reading: every tensor of the file is used, every parameter is found, all shapes agree,
//! or nothing is loaded.

use super::{Layout, Piece, TensorFault, WeightsError, transpose};
use crate::clip::Clip;
use crate::parameters::filled;
use burn::tensor::{Device, Tensor, TensorData, bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::Path;

/// Gives `clip` the parameters in `bytes`, the contents of the safetensors file at `path`.
pub(crate) fn read(
    clip: Clip,
    layout: &dyn Layout,
    path: &Path,
    bytes: &[u8],
    device: &Device,
) -> Result<Clip, WeightsError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| WeightsError::Format { path: path.into(), reason: error.to_string() })?;
    let tensors: BTreeMap<&str, TensorView<'_>> = file.iter().collect();
    let faults = faults(&clip, layout, &tensors);
    if !faults.is_empty() {
        return Err(WeightsError::Mismatch { path: path.into(), faults });
    }
    Ok(filled(clip, &mut |path, shape| {
        let mut values = Vec::with_capacity(shape.iter().product());
        for piece in layout.pieces(path, shape) {
            values.extend(piece_values(&piece, tensors.get(piece.key.as_str())?)?);
        }
        let count = values.len();
        Some(Tensor::from_data(TensorData::new(values, [count]), device))
    }))
}

/// Everything that does not fit, sorted by key.
fn faults(clip: &Clip, layout: &dyn Layout, tensors: &BTreeMap<&str, TensorView<'_>>) -> Vec<TensorFault> {
    let pieces = clip.shapes().into_iter().flat_map(|(path, shape)| layout.pieces(&path, &shape));
    let expected: BTreeMap<String, Vec<usize>> = pieces.map(|piece| (piece.key, piece.shape)).collect();
    let wanted = expected.iter().filter_map(|(key, expected)| {
        let (key, expected) = (key.clone(), expected.clone());
        let Some(tensor) = tensors.get(key.as_str()) else {
            return Some(TensorFault::Missing { key, expected });
        };
        if tensor.shape() != expected {
            return Some(TensorFault::Misshapen { key, found: tensor.shape().to_vec(), expected });
        }
        let found = tensor.dtype();
        (!is_float(found)).then(|| TensorFault::Type { key, found: found.to_string() })
    });
    let found = tensors.iter().filter(|(key, _)| !expected.contains_key(**key) && !layout.is_harmless(key));
    let unused = found
        .map(|(key, tensor)| TensorFault::Unused { key: key.to_string(), found: tensor.shape().to_vec() });
    let mut faults: Vec<TensorFault> = wanted.chain(unused).collect();
    faults.sort_by(|a, b| a.key().cmp(b.key()));
    faults
}

fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
}

/// The values of a piece, in the order of the parameter. `None` for a number format that
/// [`is_float`] does not accept.
fn piece_values(piece: &Piece, tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let values = as_f32(tensor)?;
    match (piece.transposed, piece.shape.as_slice()) {
        (true, &[rows, columns]) => Some(transpose(&values, rows, columns)),
        _ => Some(values),
    }
}

fn as_f32(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = tensor.data();
    Some(match tensor.dtype() {
        Dtype::F16 => data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => data.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        _ => return None,
    })
}
