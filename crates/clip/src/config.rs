//! The architecture of a CLIP model as plain data.
//!
//! Every published layout describes the same few numbers under other names. They all end in a
//! [`ClipConfig`], and everything that builds, loads or saves a model reads only this.

mod check;
mod published;
mod resnet;
mod text;
mod transformer;
mod vit;

pub(crate) use check::{Check, LAYER_LIMIT, Listed, SIZE_LIMIT};
pub use check::{ConfigError, ConfigFault};
pub use resnet::ResNetConfig;
pub use text::{Pooling, TextConfig};
pub use transformer::Activation;
pub(crate) use transformer::blocks;
pub use vit::VitConfig;

use serde::{Deserialize, Serialize};

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
    /// OpenAI's residual network.
    #[serde(rename = "resnet")]
    ResNet(ResNetConfig),
}

impl ImageConfig {
    /// Side of the square input image, in pixels.
    pub fn resolution(&self) -> usize {
        match self {
            Self::Vit(vit) => vit.resolution,
            Self::ResNet(resnet) => resnet.resolution,
        }
    }

    /// Side of a patch, in pixels; `None` for a tower without patches.
    pub fn patch(&self) -> Option<usize> {
        match self {
            Self::Vit(vit) => Some(vit.patch),
            Self::ResNet(_) => None,
        }
    }

    pub(crate) fn set_resolution(&mut self, resolution: usize) {
        match self {
            Self::Vit(vit) => vit.resolution = resolution,
            Self::ResNet(resnet) => resnet.resolution = resolution,
        }
    }

    fn check(&self, check: &mut Check) {
        match self {
            Self::Vit(vit) => vit.check(check),
            Self::ResNet(resnet) => resnet.check(check),
        }
    }

    fn parameter_count(&self, embed_dim: usize) -> u128 {
        match self {
            Self::Vit(vit) => vit.parameter_count(embed_dim),
            Self::ResNet(resnet) => resnet.parameter_count(embed_dim),
        }
    }
}

impl ClipConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ConfigError`] with all faults: zeros, sizes that do not divide each other, sizes that
    /// would overflow or need absurd amounts of memory, token ids outside the vocabulary.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut check = Check::default();
        check.size("embed_dim", self.embed_dim, SIZE_LIMIT);
        self.image.check(&mut check);
        self.text.check(&mut check);
        if !self.logit_scale_init.is_finite() {
            check.number("logit_scale_init", self.logit_scale_init, "a finite number");
        }
        check.finish(|| self.parameter_count())
    }

    /// Number of trainable parameters: of both towers, of their projections and the logit scale.
    /// The running statistics of batch normalisation are not trained and not counted.
    pub fn parameter_count(&self) -> u128 {
        self.image.parameter_count(self.embed_dim) + self.text.parameter_count(self.embed_dim) + 1
    }
}
