//! The text tower.

use super::check::{Check, SIZE_LIMIT};
use super::transformer::{Activation, blocks};
use serde::{Deserialize, Serialize};

/// The text tower: a causal transformer whose feature is read at the end-of-text token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// Number of token ids.
    pub vocab: usize,
    /// Largest number of tokens of a text, start and end tokens included.
    pub context: usize,
    /// Width of the hidden states.
    pub width: usize,
    /// Number of transformer blocks.
    pub layers: usize,
    /// Number of attention heads; divides `width`.
    pub heads: usize,
    /// Width of the hidden layer of each block's MLP.
    pub mlp_width: usize,
    /// Activation of the MLPs.
    pub activation: Activation,
    /// Added to the variance in every LayerNorm. CLIP: 1e-5.
    pub layer_norm_eps: f64,
    /// Id of the start-of-text token.
    pub sot_id: u32,
    /// Id of the end-of-text token. Not read by the tower under [`Pooling::HighestId`].
    pub eot_id: u32,
    /// Id that fills a batch up after the end of the shorter texts. No feature depends on it.
    pub pad_id: u32,
    /// How the end of the text is found.
    #[serde(default)]
    pub pooling: Pooling,
}

impl TextConfig {
    pub(super) fn check(&self, check: &mut Check) {
        check.size("text.vocab", self.vocab, SIZE_LIMIT);
        check.size("text.context", self.context, SIZE_LIMIT);
        check.tower("text", self.width, self.layers, self.heads, self.mlp_width, self.layer_norm_eps);
        // Nothing is computed with the ids of start and padding, and configurations that leave them at a
        // library's default often name ids that a small vocabulary lacks.
        check.token("text.eot_id", self.eot_id, self.vocab);
    }

    /// Number of parameters, with the projection to `embed_dim`.
    pub(super) fn parameter_count(&self, embed_dim: usize) -> u128 {
        let wide = |value: usize| value as u128;
        let width = wide(self.width);
        (wide(self.vocab) + wide(self.context)) * width
            + 2 * width
            + blocks(self.width, self.layers, self.mlp_width)
            + width * wide(embed_dim)
    }
}

/// Which position of a text its feature is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The first position that holds `eot_id` (HF `transformers` today).
    #[default]
    FirstEot,
    /// The first position of the highest id of the text (OpenAI, open_clip, and HF for the old
    /// configurations that state `eos_token_id: 2`).
    HighestId,
}
