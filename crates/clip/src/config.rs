//! The architecture of a CLIP model as plain data.
//!
//! Every published layout describes the same few numbers under other names. They all end in a
//! [`ClipConfig`], and everything that builds, loads or saves a model reads only this.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The architecture of a CLIP model: two towers that end in one embedding space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipConfig {
    /// Width of the shared embedding space.
    pub embed_dim: usize,
    /// The image tower.
    pub image: ImageConfig,
    /// The text tower.
    pub text: TextConfig,
    /// Natural logarithm of the logit scale of a freshly initialised model. CLIP: ln(1/0.07).
    pub logit_scale_init: f64,
}

/// The image tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ImageConfig {
    /// A vision transformer.
    Vit(VitConfig),
}

/// A vision transformer (Dosovitskiy et al. 2021). CLIP's have an extra LayerNorm before the blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Side of the square input image, in pixels.
    pub resolution: usize,
    /// Side of a square patch, in pixels; divides `resolution`.
    pub patch: usize,
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
}

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

/// Activation of the MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`: OpenAI's weights.
    QuickGelu,
    /// GELU with the error function: most of open_clip's weights.
    Gelu,
    /// GELU with the tanh approximation.
    GeluTanh,
}

impl ImageConfig {
    /// Side of the square input image, in pixels.
    pub fn resolution(&self) -> usize {
        match self {
            Self::Vit(vit) => vit.resolution,
        }
    }

    /// Side of a patch, in pixels; `None` for a tower without patches.
    pub fn patch(&self) -> Option<usize> {
        match self {
            Self::Vit(vit) => Some(vit.patch),
        }
    }

    pub(crate) fn set_resolution(&mut self, resolution: usize) {
        match self {
            Self::Vit(vit) => vit.resolution = resolution,
        }
    }

    fn check(&self, check: &mut Check) {
        match self {
            Self::Vit(vit) => vit.check(check),
        }
    }

    /// Number of parameters, with the projection to `embed_dim`.
    fn parameter_count(&self, embed_dim: usize) -> u128 {
        match self {
            Self::Vit(vit) => vit.parameter_count(embed_dim),
        }
    }
}

impl VitConfig {
    /// Number of patches along one side.
    pub fn grid(&self) -> usize {
        self.resolution.checked_div(self.patch).unwrap_or(0)
    }

    /// Number of positions: one per patch and the class token.
    pub fn positions(&self) -> usize {
        self.grid() * self.grid() + 1
    }

    /// Number of values in a patch of three channels.
    pub fn patch_values(&self) -> usize {
        3 * self.patch * self.patch
    }

    pub(crate) fn check(&self, check: &mut Check) {
        check.size("image.resolution", self.resolution, SIZE_LIMIT);
        check.size("image.patch", self.patch, SIZE_LIMIT);
        check.multiple(("image.resolution", self.resolution), ("image.patch", self.patch));
        check.tower("image", self.width, self.layers, self.heads, self.mlp_width, self.layer_norm_eps);
    }

    pub(crate) fn parameter_count(&self, embed_dim: usize) -> u128 {
        let (grid, width) = (self.grid() as u128, self.width as u128);
        self.patch_values() as u128 * width
            + (grid * grid + 1) * width
            + 5 * width
            + blocks(self.width, self.layers, self.mlp_width)
            + width * embed_dim as u128
    }
}

/// Number of parameters of a stack of transformer blocks.
pub(crate) fn blocks(width: usize, layers: usize, mlp: usize) -> u128 {
    let (width, layers, mlp) = (width as u128, layers as u128, mlp as u128);
    layers * (4 * width * width + 4 * width + 2 * width * mlp + mlp + width + 4 * width)
}

/// A configuration that no model can have. Lists every fault, not only the first.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the model configuration is not valid:{}", Listed(.faults))]
pub struct ConfigError {
    /// Everything that is wrong, in the order of the fields.
    pub faults: Vec<ConfigFault>,
}

/// One fault of a configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigFault {
    /// A size is zero.
    #[error("{field} is 0, expected at least 1")]
    Zero {
        /// The field, such as `image.width`.
        field: String,
    },
    /// A size is larger than any real model's by far, so that the file is most likely broken.
    #[error("{field} is {value}, expected at most {limit}")]
    TooLarge {
        /// The field, or what is computed from several.
        field: String,
        /// Its value.
        value: u128,
        /// The largest value that is accepted.
        limit: u128,
    },
    /// A size has to be a multiple of another one.
    #[error("{field} is {value}, expected a multiple of {divisor} ({divisor_value})")]
    NotMultiple {
        /// The field that should be a multiple.
        field: String,
        /// Its value.
        value: usize,
        /// The field that should divide it.
        divisor: String,
        /// That field's value.
        divisor_value: usize,
    },
    /// A token id lies outside the vocabulary.
    #[error("{field} is {id}, expected an id below text.vocab ({vocab})")]
    OutsideVocabulary {
        /// The field.
        field: String,
        /// The id.
        id: u32,
        /// Number of ids.
        vocab: usize,
    },
    /// A number is not finite or not positive where it has to be.
    #[error("{field} is {value}, expected {expected}")]
    Number {
        /// The field.
        field: String,
        /// Its value.
        value: f64,
        /// What it should be.
        expected: &'static str,
    },
}

/// The widest size that is accepted: no published tower comes near it.
pub(crate) const SIZE_LIMIT: usize = 1 << 20;
/// The largest number of blocks of a tower that is accepted.
const LAYER_LIMIT: usize = 1 << 10;
/// The largest number of parameters that is accepted (256 GiB of f32).
const PARAMETER_LIMIT: u128 = 1 << 36;

impl ClipConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ConfigError`] with all faults: zeros, sizes that do not divide each other, sizes that
    /// would overflow or need absurd amounts of memory, token ids outside the vocabulary.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut check = Check::default();
        let (image, text) = (&self.image, &self.text);
        check.size("embed_dim", self.embed_dim, SIZE_LIMIT);
        image.check(&mut check);
        check.size("text.vocab", text.vocab, SIZE_LIMIT);
        check.size("text.context", text.context, SIZE_LIMIT);
        check.tower("text", text.width, text.layers, text.heads, text.mlp_width, text.layer_norm_eps);
        check.token("text.sot_id", text.sot_id, text.vocab);
        check.token("text.eot_id", text.eot_id, text.vocab);
        check.token("text.pad_id", text.pad_id, text.vocab);
        if !self.logit_scale_init.is_finite() {
            check.number("logit_scale_init", self.logit_scale_init, "a finite number");
        }
        check.finish(|| self.parameter_count())
    }

    /// Number of parameters of both towers, of their projections and the logit scale.
    pub fn parameter_count(&self) -> u128 {
        let text = &self.text;
        let wide = |value: usize| value as u128;
        let width = wide(text.width);
        self.image.parameter_count(self.embed_dim)
            + (wide(text.vocab) + wide(text.context)) * width
            + 2 * width
            + blocks(text.width, text.layers, text.mlp_width)
            + width * wide(self.embed_dim)
            + 1
    }
}

/// The faults of a configuration that have been found so far.
#[derive(Default)]
pub(crate) struct Check {
    faults: Vec<ConfigFault>,
}

impl Check {
    /// An error with all faults. The number of parameters is only asked for when the sizes are valid.
    pub(crate) fn finish(mut self, parameters: impl FnOnce() -> u128) -> Result<(), ConfigError> {
        if self.faults.is_empty() {
            self.at_most("the number of parameters", parameters(), PARAMETER_LIMIT);
        }
        if self.faults.is_empty() { Ok(()) } else { Err(ConfigError { faults: self.faults }) }
    }

    pub(crate) fn size(&mut self, field: &str, value: usize, limit: usize) {
        if value == 0 {
            self.faults.push(ConfigFault::Zero { field: field.to_string() });
        }
        self.at_most(field, value as u128, limit as u128);
    }

    fn at_most(&mut self, field: &str, value: u128, limit: u128) {
        if value > limit {
            self.faults.push(ConfigFault::TooLarge { field: field.to_string(), value, limit });
        }
    }

    fn multiple(&mut self, (field, value): (&str, usize), (divisor, divisor_value): (&str, usize)) {
        if value.checked_rem(divisor_value).is_some_and(|rest| rest != 0) {
            self.faults.push(ConfigFault::NotMultiple {
                field: field.to_string(),
                value,
                divisor: divisor.to_string(),
                divisor_value,
            });
        }
    }

    pub(crate) fn tower(
        &mut self,
        tower: &str,
        width: usize,
        layers: usize,
        heads: usize,
        mlp_width: usize,
        eps: f64,
    ) {
        let field = |name: &str| format!("{tower}.{name}");
        self.size(&field("width"), width, SIZE_LIMIT);
        self.size(&field("layers"), layers, LAYER_LIMIT);
        self.size(&field("heads"), heads, SIZE_LIMIT);
        self.size(&field("mlp_width"), mlp_width, SIZE_LIMIT);
        self.multiple((&field("width"), width), (&field("heads"), heads));
        if !(eps.is_finite() && eps > 0.0) {
            self.number(&field("layer_norm_eps"), eps, "a small positive number");
        }
    }

    fn token(&mut self, field: &str, id: u32, vocab: usize) {
        if id as usize >= vocab {
            self.faults.push(ConfigFault::OutsideVocabulary { field: field.to_string(), id, vocab });
        }
    }

    fn number(&mut self, field: &str, value: f64, expected: &'static str) {
        self.faults.push(ConfigFault::Number { field: field.to_string(), value, expected });
    }
}

/// Shows one item per line, indented: the body of an error that lists everything at once.
pub(crate) struct Listed<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|item| write!(formatter, "\n  {item}"))
    }
}
