//! Image encoders without a text tower, on which methods put a classifier of their own.

mod error;
mod loaded;
mod preprocess;
mod resnet;
mod timm_config;
mod vit;
mod vit_config;
mod vit_names;

pub use error::BackboneError;
pub use loaded::{BackboneArchitecture, LoadedBackbone};
pub use resnet::{ResNet, ResNetArchitecture, ResNetLayer, ResNetStates};
pub use vit::VitBackbone;

use crate::clip::{ParameterError, with_values};
use crate::injection::Injection;
use crate::parameters::{NamedParameter, named, shapes};
use crate::running_statistics::Normalisation;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use regulus_images::{Filter, Preprocess};
use std::collections::BTreeMap;

/// An image encoder, whatever its architecture.
///
/// As with [`Clip`](crate::Clip), its parameters never require gradients and are never mutated;
/// what a method trains enters through an [`Injection`]. Clones share memory.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one backbone in a program, not a list of them")]
pub enum Backbone {
    /// A residual network.
    ResNet(ResNet),
    /// A vision transformer.
    Vit(VitBackbone),
}

impl Backbone {
    /// Width of the features.
    pub fn width(&self) -> usize {
        match self {
            Self::ResNet(resnet) => resnet.width(),
            Self::Vit(vit) => vit.width(),
        }
    }

    /// One feature per image. A vision transformer has no batch normalisation and treats both kinds alike.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, height, width]`, normalised as [`Self::preprocess`] says
    /// - output: `[batch, width]`
    ///
    /// # Panics
    /// If the pixels are not of a vision transformer's resolution.
    pub fn features(
        &self,
        pixels: Tensor<4>,
        injection: &Injection,
        normalisation: Normalisation<'_>,
    ) -> Tensor<2> {
        match self {
            Self::ResNet(resnet) => resnet.features(pixels, injection, normalisation),
            Self::Vit(vit) => vit.features(pixels, injection),
        }
    }

    /// The parameters, in module order. They share memory with the model.
    pub fn parameters(&self) -> Vec<NamedParameter> {
        named(self, "")
    }

    /// Path and shape of every parameter, in module order.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        shapes(self, "")
    }

    /// A copy with new values for some parameters, such as those of a trained backbone. The values are copied to
    /// `device`, where the others must be; these share memory with `self`.
    ///
    /// # Shapes
    /// - `values`: flattened, by path
    ///
    /// # Errors
    /// [`ParameterError`] for unknown paths and wrong numbers of values.
    pub fn with_parameters(
        &self,
        values: &BTreeMap<String, Tensor<1>>,
        device: &Device,
    ) -> Result<Self, ParameterError> {
        with_values(self.clone(), values, device)
    }

    /// Whether the network normalises by the statistics of a batch when it is trained. It then needs batches of two
    /// images or more.
    pub fn normalises_batches(&self) -> bool {
        matches!(self, Self::ResNet(_))
    }

    /// How the images of ImageNet are prepared for such networks by their publishers: the short side brought to
    /// 256 pixels for a crop of 224 and in this ratio for others, bilinear, then the middle (torchvision's
    /// `references/classification`). What the files of a network say of it is in
    /// [`LoadedBackbone::preprocess`].
    pub fn preprocess(&self) -> Preprocess {
        let crop = match self {
            Self::ResNet(_) => 224,
            Self::Vit(vit) => vit.config().resolution,
        };
        Preprocess {
            resize: crop * 256 / 224,
            crop,
            filter: Filter::Bilinear,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }
}
