//! The tensors that a case records: inputs and expected values under one roof.

use crate::error::CaseError;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use regulus_checkpoints::Checkpoint;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

/// A file of recorded tensors, which remembers what has been looked at.
pub(crate) struct Recorded {
    checkpoint: Checkpoint,
    seen: RefCell<BTreeSet<String>>,
}

impl Recorded {
    pub(crate) fn open(path: &Path) -> Result<Self, CaseError> {
        Ok(Self { checkpoint: Checkpoint::open(path)?, seen: RefCell::default() })
    }

    pub(crate) fn path(&self) -> &Path {
        self.checkpoint.path()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.checkpoint.tensor(name).is_some()
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.checkpoint.tensors().map(|(name, _)| name)
    }

    /// Names that nothing has looked at yet.
    pub(crate) fn unseen(&self) -> Vec<String> {
        let seen = self.seen.borrow();
        self.names().filter(|name| !seen.contains(*name)).map(str::to_owned).collect()
    }

    /// Counts a tensor as looked at that repeats what others hold.
    pub(crate) fn see(&self, name: &str) {
        self.seen.borrow_mut().insert(name.to_string());
    }

    /// The shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Result<Vec<usize>, CaseError> {
        Ok(self.checkpoint.tensor(name).ok_or_else(|| self.missing(name))?.shape().to_vec())
    }

    /// The values of a tensor, whatever its number format, with its shape.
    pub(crate) fn values(&self, name: &str) -> Result<(Vec<f64>, Vec<usize>), CaseError> {
        let tensor = self.checkpoint.tensor(name).ok_or_else(|| self.missing(name))?;
        self.see(name);
        Ok((tensor.to_f64(), tensor.shape().to_vec()))
    }

    /// The values of a tensor without its shape.
    pub(crate) fn flat(&self, name: &str) -> Result<Vec<f64>, CaseError> {
        Ok(self.values(name)?.0)
    }

    /// The only value of a tensor.
    pub(crate) fn number(&self, name: &str) -> Result<f64, CaseError> {
        match self.values(name)? {
            (values, _) if values.len() == 1 => Ok(values[0]),
            (_, shape) => Err(self.form(name, format!("of shape {shape:?}"), "a single number")),
        }
    }

    /// A tensor as f32 on a device. A single number becomes `[1]`.
    pub(crate) fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Result<Tensor<D>, CaseError> {
        self.tensor_as(name, device, DType::F32)
    }

    /// A tensor in a given precision. A single number becomes `[1]`.
    pub(crate) fn tensor_as<const D: usize>(
        &self,
        name: &str,
        device: &Device,
        precision: DType,
    ) -> Result<Tensor<D>, CaseError> {
        let (values, mut shape) = self.values(name)?;
        if shape.is_empty() {
            shape.push(1);
        }
        if shape.len() != D {
            return Err(self.form(name, format!("of shape {shape:?}"), "of another number of dimensions"));
        }
        Ok(Tensor::from_data(TensorData::new(values, shape), (device, precision)))
    }

    /// Class labels, `[batch]`.
    pub(crate) fn labels(&self, name: &str, device: &Device) -> Result<Tensor<1, Int>, CaseError> {
        let labels: Vec<i64> = self.flat(name)?.into_iter().map(|label| label as i64).collect();
        Ok(Tensor::from_data(TensorData::new(labels.clone(), [labels.len()]), device))
    }

    /// Rows of token ids: the last dimension is the context.
    pub(crate) fn rows(&self, name: &str) -> Result<Vec<Vec<u32>>, CaseError> {
        let (values, shape) = self.values(name)?;
        let Some(context) = shape.last().copied().filter(|context| *context > 0) else {
            return Err(self.form(name, format!("of shape {shape:?}"), "rows of token ids"));
        };
        let id = |value: &f64| {
            let id = *value as u32;
            if f64::from(id) == *value {
                Ok(id)
            } else {
                Err(self.form(name, format!("{value}"), "a token id"))
            }
        };
        values.chunks(context).map(|row| row.iter().map(id).collect()).collect()
    }

    pub(crate) fn missing(&self, name: &str) -> CaseError {
        CaseError::Missing { path: self.path().into(), name: name.to_string() }
    }

    pub(crate) fn form(&self, name: &str, found: String, expected: &'static str) -> CaseError {
        CaseError::Form { path: self.path().into(), name: name.to_string(), found, expected }
    }
}
