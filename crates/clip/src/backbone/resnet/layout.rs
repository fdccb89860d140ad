//! Where checkpoints keep the tensors of a ResNet.

use crate::backbone::BackboneError;
use crate::weights::{Layout, Piece};
use regulus_checkpoints::Checkpoint;
use std::collections::BTreeMap;

/// PyTorch's counter of batches, which is no parameter.
const COUNTER: &str = ".num_batches_tracked";

/// The names of torchvision under a prefix.
#[derive(Debug)]
pub(super) struct ResNetLayout {
    /// What training scripts put their model under, such as `state_dict.`; empty without them.
    container: &'static str,
    /// What stands before torchvision's names inside of that.
    prefix: &'static str,
}

impl ResNetLayout {
    /// Finds the layout of a checkpoint by the names of the first convolutions.
    pub(super) fn detect(checkpoint: &Checkpoint) -> Result<Self, BackboneError> {
        let layouts = ["", "state_dict."].into_iter().flat_map(|container| {
            ["", "module.", "module.encoder_q.", "encoder_q."]
                .into_iter()
                .map(move |prefix| Self { container, prefix })
        });
        let has = |key: String| checkpoint.tensor(&key).is_some();
        let mut fitting = layouts
            .filter(|layout| has(layout.key("conv1.weight")) && has(layout.key("layer1.0.conv1.weight")));
        fitting.next().ok_or_else(|| {
            let names: Vec<&str> = checkpoint.tensors().map(|(name, _)| name).take(4).collect();
            BackboneError::Unknown {
                path: checkpoint.path().into(),
                expected: "`conv1.weight` and `layer1.0.conv1.weight`, perhaps under `module.`, \
                           `state_dict.` or MoCo's `module.encoder_q.`",
                found: if names.is_empty() { "no tensors".to_string() } else { names.join(", ") },
            }
        })
    }

    /// Name in the file of the parameter at `path`.
    pub(super) fn key(&self, path: &str) -> String {
        format!("{}{}{path}", self.container, self.prefix)
    }

    /// Whether the file is from contrastive training (MoCo, He et al. 2020), where `fc` is not a
    /// classifier but a projection that is thrown away afterwards.
    pub(super) fn is_contrastive(&self) -> bool {
        self.prefix.ends_with("encoder_q.")
    }

    /// The counters of batches by path.
    pub(super) fn batches(&self, checkpoint: &Checkpoint) -> BTreeMap<String, u64> {
        let prefix = self.key("");
        let counter = |(key, tensor): (&str, regulus_checkpoints::TensorView<'_>)| {
            let path = key.strip_prefix(&prefix).filter(|path| path.ends_with(COUNTER))?;
            let count = u64::try_from(*tensor.to_i64()?.first()?).ok()?;
            Some((path.to_string(), count))
        };
        checkpoint.tensors().filter_map(counter).collect()
    }

    /// Names of the tensors that belong to the training only.
    pub(super) fn ignored(&self, checkpoint: &Checkpoint) -> Vec<String> {
        let names = checkpoint.tensors().map(|(name, _)| name);
        names.filter(|name| self.is_of_training(name)).map(str::to_string).collect()
    }

    fn is_of_training(&self, key: &str) -> bool {
        let Some(name) = key.strip_prefix(self.container) else {
            return true;
        };
        let Some(outer) = self.prefix.strip_suffix("encoder_q.") else {
            return false;
        };
        name.strip_prefix(outer).is_some_and(|name| {
            name == "queue"
                || name == "queue_ptr"
                || name.starts_with("encoder_k.")
                || name.starts_with("encoder_q.fc.")
        })
    }
}

impl Layout for ResNetLayout {
    fn pieces(&self, path: &str, shape: &[usize]) -> Vec<Piece> {
        vec![Piece { key: self.key(path), shape: shape.to_vec(), transposed: false }]
    }

    fn is_harmless(&self, key: &str) -> bool {
        key.ends_with(COUNTER) || self.is_of_training(key)
    }
}
