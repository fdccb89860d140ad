//! The architecture of a BERT encoder, and how `transformers` writes it down.
//!
//! Hub configurations leave out whatever equals the library's default, so the defaults are part of
//! the format. Those here are the ones of `transformers` 5 (`configuration_bert.py`).

use crate::config::{Activation, Check, ConfigError, SIZE_LIMIT, blocks};
use crate::formats::hf::config::activation;
use crate::formats::{Json, LoadError};
use serde::{Deserialize, Serialize};

/// A BERT encoder with absolute positional embeddings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BertConfig {
    /// Number of token ids.
    pub vocab: usize,
    /// Largest number of tokens of a text, `[CLS]` and `[SEP]` included.
    pub context: usize,
    /// Number of token types: 2 for sentence pairs.
    pub token_types: usize,
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
    /// Added to the variance in every LayerNorm. BERT: 1e-12.
    pub layer_norm_eps: f64,
}

impl BertConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ConfigError`] with all faults: zeros, sizes that do not divide each other, sizes that
    /// would overflow or need absurd amounts of memory.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut check = Check::default();
        check.size("bert.vocab", self.vocab, SIZE_LIMIT);
        check.size("bert.context", self.context, SIZE_LIMIT);
        check.size("bert.token_types", self.token_types, SIZE_LIMIT);
        check.tower("bert", self.width, self.layers, self.heads, self.mlp_width, self.layer_norm_eps);
        check.finish(|| self.parameter_count())
    }

    /// Number of parameters, the pooler's included.
    pub fn parameter_count(&self) -> u128 {
        let wide = |value: usize| value as u128;
        let width = wide(self.width);
        (wide(self.vocab) + wide(self.context) + wide(self.token_types)) * width
            + 2 * width
            + blocks(self.width, self.layers, self.mlp_width)
            + width * width
            + width
    }
}

#[derive(Deserialize)]
struct RawBert {
    model_type: Option<String>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    type_vocab_size: Option<usize>,
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
}

/// Reads `config.json`.
pub(crate) fn parse(json: &Json) -> Result<BertConfig, LoadError> {
    let raw: RawBert = json.parse()?;
    if let Some(other) = raw.model_type.filter(|kind| kind != "bert") {
        return Err(json.unsupported("model_type", other, "bert"));
    }
    if let Some(other) = raw.position_embedding_type.filter(|kind| kind != "absolute") {
        return Err(json.unsupported("position_embedding_type", other, "absolute"));
    }
    if raw.is_decoder == Some(true) {
        return Err(json.unsupported(
            "is_decoder",
            true,
            "false: an encoder, in which all tokens see each other",
        ));
    }
    let name = raw.hidden_act.unwrap_or_else(|| "gelu".to_string());
    let config = BertConfig {
        vocab: raw.vocab_size.unwrap_or(30522),
        context: raw.max_position_embeddings.unwrap_or(512),
        token_types: raw.type_vocab_size.unwrap_or(2),
        width: raw.hidden_size.unwrap_or(768),
        layers: raw.num_hidden_layers.unwrap_or(12),
        heads: raw.num_attention_heads.unwrap_or(12),
        mlp_width: raw.intermediate_size.unwrap_or(3072),
        activation: activation(json, "hidden_act", Some(name))?,
        layer_norm_eps: raw.layer_norm_eps.unwrap_or(1e-12),
    };
    config.check().map_err(|source| LoadError::Config { path: json.path.clone(), source })?;
    Ok(config)
}
