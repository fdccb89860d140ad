//! The names of OpenAI's state dict, which are the canonical paths but for the text tower's.

use crate::weights::{Layout, Piece};
use regulus_checkpoints::Checkpoint;

/// The layout of OpenAI's state dict. open_clip has it too, sometimes with the text tower under `text.`.
pub(crate) struct OpenAiLayout {
    /// What all names begin with, such as `state_dict.module.`.
    prefix: String,
    /// What the names of the text tower begin with after that.
    text: &'static str,
}

impl OpenAiLayout {
    /// OpenAI's own names, with nothing before them: what files are written with.
    pub(crate) fn plain() -> Self {
        Self { prefix: String::new(), text: "" }
    }

    /// The layout of the model in `checkpoint` whose tensors' names begin with `prefix`.
    pub(crate) fn of(checkpoint: &Checkpoint, prefix: &str) -> Self {
        let nested = checkpoint.tensor(&format!("{prefix}text.token_embedding.weight")).is_some();
        Self { prefix: prefix.to_string(), text: if nested { "text." } else { "" } }
    }

    /// The name, without the prefix, of the part `name` of the text tower.
    pub(crate) fn text(&self, name: &str) -> String {
        format!("{}{name}", self.text)
    }
}

impl Layout for OpenAiLayout {
    fn pieces(&self, path: &str, shape: &[usize]) -> Vec<Piece> {
        let name = match path.strip_prefix("text.") {
            Some(name) => self.text(name),
            None => path.to_string(),
        };
        let shape = if path == "logit_scale" { Vec::new() } else { shape.to_vec() };
        vec![Piece { key: format!("{}{name}", self.prefix), shape, transposed: false }]
    }

    /// Sizes that OpenAI stores as tensors, counters of BatchNorm, and what lies outside the model.
    fn is_harmless(&self, key: &str) -> bool {
        let Some(name) = key.strip_prefix(&self.prefix) else { return true };
        matches!(name, "input_resolution" | "context_length" | "vocab_size" | "attn_mask" | "text.attn_mask")
            || name.ends_with(".num_batches_tracked")
    }
}
