//! Weights files: strict reading and deterministic writing, whatever the publisher's layout.
//!
//! A layout only says which tensors of a file make up a parameter of the model. Comparing names
//! and shapes, converting number formats and listing what does not fit are the same for all.

mod join;
mod read;
mod room;
mod write;

pub(crate) use read::read;
pub(crate) use write::{bytes, write};

use crate::config::Listed;
use regulus_checkpoints::{Checkpoint, CheckpointError};
use std::path::PathBuf;

/// A tensor of a weights file that is a parameter of the model, or some consecutive values of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Name in the file.
    pub key: String,
    /// Shape in the file.
    pub shape: Vec<usize>,
    /// Whether the (two-dimensional) tensor is the transpose of the parameter.
    pub transposed: bool,
}

impl Piece {
    /// The whole parameter, in the orientation of the model.
    pub(crate) fn whole(key: String, shape: &[usize]) -> Vec<Self> {
        vec![Self { key, shape: shape.to_vec(), transposed: false }]
    }

    /// A parameter of that shape that is cut along its first axis into equal parts: a fused
    /// projection whose file keeps queries, keys and values apart.
    pub(crate) fn parts<const N: usize>(keys: [String; N], shape: &[usize]) -> Vec<Self> {
        let mut shape = shape.to_vec();
        if let Some(rows) = shape.first_mut() {
            *rows /= N;
        }
        keys.map(|key| Self { key, shape: shape.clone(), transposed: false }).into()
    }
}

/// A publisher's way to name and cut the parameters of a model.
pub(crate) trait Layout: Sync {
    /// The pieces whose values, one after the other, are the parameter at the canonical `path`.
    fn pieces(&self, path: &str, shape: &[usize]) -> Vec<Piece>;

    /// Whether files are known to hold this tensor although it is no parameter.
    fn is_harmless(&self, key: &str) -> bool;
}

/// Names of the tensors of `checkpoint` that a model of `layout` does not need.
pub(crate) fn ignored(layout: &dyn Layout, checkpoint: &Checkpoint) -> Vec<String> {
    let keys = checkpoint.tensors().map(|(key, _)| key);
    keys.filter(|key| layout.is_harmless(key)).map(str::to_string).collect()
}

/// A weights file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be opened or is damaged.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file cannot be written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The values cannot be represented in the file's format.
    #[error("{}: cannot be written: {reason}", .path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The tensors are not those of the configured model. Lists every fault, not only the first.
    #[error("{}: the tensors do not fit the configuration:{}", .path.display(), Listed(.faults))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong, sorted by key.
        faults: Vec<TensorFault>,
    },
    /// A value of the model cannot be read back from its device.
    #[error("{path}: cannot be read from the device: {reason}")]
    Device {
        /// The parameter.
        path: String,
        /// What Burn says.
        reason: String,
    },
}

/// One tensor that does not fit the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorFault {
    /// The model needs a tensor that the file lacks.
    #[error("missing: {key}, expected with shape {expected:?}")]
    Missing {
        /// Name in the file.
        key: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// The file holds a tensor that the model has no use for.
    #[error("unused: {key} with shape {found:?}, expected no such tensor")]
    Unused {
        /// Name in the file.
        key: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("misshapen: {key} has shape {found:?}, expected {expected:?}")]
    Misshapen {
        /// Name in the file.
        key: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// A tensor has a number format that is not a floating-point format of 16 bits or more.
    #[error("wrong type: {key} is {found}, expected F16, BF16, F32 or F64")]
    Type {
        /// Name in the file.
        key: String,
        /// Its number format.
        found: String,
    },
}

impl TensorFault {
    /// Name in the file.
    pub fn key(&self) -> &str {
        match self {
            Self::Missing { key, .. }
            | Self::Unused { key, .. }
            | Self::Misshapen { key, .. }
            | Self::Type { key, .. } => key,
        }
    }
}

/// Columns that are transposed at a time.
const TRANSPOSED_COLUMNS: usize = 16;

/// The transpose of a matrix of `rows` x `columns` values, row by row.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut transposed = vec![0.0; rows * columns];
    // Some columns at a time, so that the cache holds what is written between two rows.
    for first in (0..columns).step_by(TRANSPOSED_COLUMNS) {
        for (row, values) in values.chunks_exact(columns.max(1)).take(rows).enumerate() {
            for (column, value) in values.iter().enumerate().skip(first).take(TRANSPOSED_COLUMNS) {
                transposed[column * rows + row] = *value;
            }
        }
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_changes_nothing() {
        let values: Vec<f32> = (0..6).map(|value| value as f32).collect();
        assert_eq!(transpose(&values, 2, 3), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(transpose(&transpose(&values, 2, 3), 3, 2), values);
        let values: Vec<f32> = (0..37 * 50).map(|value| value as f32).collect();
        let transposed = transpose(&values, 37, 50);
        assert_eq!((transposed[1], transposed[37], transposed[49 * 37 + 36]), (50.0, 1.0, 1849.0));
        assert_eq!(transpose(&transposed, 50, 37), values);
        assert!(transpose(&[], 0, 5).is_empty() && transpose(&[], 5, 0).is_empty());
    }
}
