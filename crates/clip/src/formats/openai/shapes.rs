//! Reading an architecture off the shapes of tensors.

use super::CONFIG_FILE;
use crate::formats::LoadError;
use crate::weights::{TensorFault, WeightsError};
use regulus_checkpoints::Checkpoint;

/// The shapes of a model's tensors by their names without the prefix.
pub(crate) struct Shapes<'a> {
    pub checkpoint: &'a Checkpoint,
    pub prefix: &'a str,
}

impl Shapes<'_> {
    /// The shape of the tensor `name`.
    pub(crate) fn of(&self, name: &str) -> Option<Vec<usize>> {
        self.checkpoint.tensor(&self.key(name)).map(|tensor| tensor.shape().to_vec())
    }

    /// The size of an axis of the tensor `name`.
    pub(crate) fn axis(&self, name: &str, axis: usize) -> Result<usize, LoadError> {
        let path = self.checkpoint.path().to_path_buf();
        let Some(shape) = self.of(name) else {
            let faults = vec![TensorFault::Missing { key: self.key(name), expected: Vec::new() }];
            return Err(WeightsError::Mismatch { path, faults }.into());
        };
        shape.get(axis).copied().ok_or_else(|| LoadError::NotInferred {
            path,
            field: "the architecture",
            reason: format!("{name} has the shape {shape:?}, too few dimensions"),
            config: CONFIG_FILE,
        })
    }

    /// The side of the square whose positions, after one for the class or the mean, `name` embeds.
    pub(crate) fn grid(&self, name: &str) -> Result<usize, LoadError> {
        let positions = self.axis(name, 0)?;
        let side = positions.saturating_sub(1).isqrt();
        if positions > 1 && side * side + 1 == positions {
            return Ok(side);
        }
        Err(LoadError::NotInferred {
            path: self.checkpoint.path().into(),
            field: "image_resolution",
            reason: format!("{name} embeds {positions} positions, which are not one and a square"),
            config: CONFIG_FILE,
        })
    }

    /// The number of items of the list `list` that have the tensor `name`.
    pub(crate) fn count(&self, list: &str, name: &str) -> usize {
        (0..).take_while(|index| self.of(&format!("{list}.{index}.{name}")).is_some()).count()
    }

    /// The number of heads: as stated, or 64 values each, which is OpenAI's rule.
    pub(crate) fn heads(
        &self,
        field: &'static str,
        stated: Option<usize>,
        width: usize,
    ) -> Result<usize, LoadError> {
        match stated {
            Some(heads) => Ok(heads),
            None if width >= 64 && width.is_multiple_of(64) => Ok(width / 64),
            None => Err(LoadError::NotInferred {
                path: self.checkpoint.path().into(),
                field,
                reason: format!("OpenAI's heads have 64 values, the width is {width}"),
                config: CONFIG_FILE,
            }),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
