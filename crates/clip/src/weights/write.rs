//! Writing: f32, the same bytes for the same values everywhere.

use super::{Layout, WeightsError, transpose};
use crate::parameters::NamedParameter;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Writes parameters as a safetensors file. A file that is already there is replaced at the end, never written
/// into. `ordinary` is a file beside it, whose permissions it gets: it comes from a private temporary file and
/// should be as readable as the rest.
pub(crate) fn write(
    parameters: Vec<NamedParameter>,
    layout: &dyn Layout,
    path: &Path,
    ordinary: &Path,
) -> Result<(), WeightsError> {
    let tensors = encoded(parameters, layout)?;
    let refused = |source| WeightsError::File { path: path.into(), source };
    safetensors::serialize_to_file(views(&tensors, path)?, metadata(), path).map_err(
        |error| match error {
            SafeTensorError::IoError(source) => refused(source),
            other => WeightsError::Encode { path: path.into(), reason: other.to_string() },
        },
    )?;
    std::fs::metadata(ordinary)
        .and_then(|ordinary| std::fs::set_permissions(path, ordinary.permissions()))
        .map_err(refused)
}

/// The bytes that [`write`] writes.
pub(crate) fn bytes(parameters: Vec<NamedParameter>, layout: &dyn Layout) -> Result<Vec<u8>, WeightsError> {
    let tensors = encoded(parameters, layout)?;
    let path = Path::new("(model in memory)");
    safetensors::serialize(views(&tensors, path)?, metadata())
        .map_err(|error| WeightsError::Encode { path: path.into(), reason: error.to_string() })
}

/// What PyTorch's libraries look for before they open a file.
fn metadata() -> Option<HashMap<String, String>> {
    Some(HashMap::from([("format".to_string(), "pt".to_string())]))
}

struct Encoded {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn encoded(
    parameters: Vec<NamedParameter>,
    layout: &dyn Layout,
) -> Result<BTreeMap<String, Encoded>, WeightsError> {
    let mut tensors = BTreeMap::new();
    for parameter in parameters {
        let values: Vec<f32> = parameter.value.try_into_vec_as().map_err(|error| WeightsError::Device {
            path: parameter.path.clone(),
            reason: error.to_string(),
        })?;
        let mut rest = values.as_slice();
        for piece in layout.pieces(&parameter.path, &parameter.shape) {
            let (own, after) = rest.split_at(piece.shape.iter().product());
            rest = after;
            let bytes = match (piece.transposed, piece.shape.as_slice()) {
                (true, &[rows, columns]) => little_endian(&transpose(own, columns, rows)),
                _ => little_endian(own),
            };
            tensors.insert(piece.key, Encoded { shape: piece.shape, bytes });
        }
    }
    Ok(tensors)
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn views<'a>(
    tensors: &'a BTreeMap<String, Encoded>,
    path: &Path,
) -> Result<Vec<(&'a str, TensorView<'a>)>, WeightsError> {
    tensors
        .iter()
        .map(|(key, tensor)| {
            let view = TensorView::new(Dtype::F32, tensor.shape.clone(), &tensor.bytes);
            view.map(|view| (key.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| WeightsError::Encode { path: path.into(), reason: error.to_string() })
}
