//! Image encoders without a text tower, on which methods put a classifier of their own.

mod error;
mod loaded;
mod resnet;

pub use error::BackboneError;
pub use loaded::LoadedBackbone;
pub use resnet::{ResNet, ResNetArchitecture, ResNetLayer, ResNetStates};

use crate::injection::Injection;
use crate::parameters::{NamedParameter, named, shapes};
use crate::running_statistics::Normalisation;
use burn::module::Module;
use burn::tensor::Tensor;
use regulus_images::{Filter, Preprocess};

/// An image encoder, whatever its architecture.
///
/// As with [`Clip`](crate::Clip), its parameters never require gradients and are never mutated;
/// what a method trains enters through an [`Injection`].
#[derive(Module, Debug)]
pub enum Backbone {
    /// A residual network.
    ResNet(ResNet),
}

impl Backbone {
    /// Width of the features.
    pub fn width(&self) -> usize {
        match self {
            Self::ResNet(resnet) => resnet.width(),
        }
    }

    /// One feature per image.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, height, width]`, normalised as [`Self::preprocess`] says
    /// - output: `[batch, width]`
    pub fn features(
        &self,
        pixels: Tensor<4>,
        injection: &Injection,
        normalisation: Normalisation<'_>,
    ) -> Tensor<2> {
        match self {
            Self::ResNet(resnet) => resnet.features(pixels, injection, normalisation),
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

    /// How the images of ImageNet are prepared for such networks by their publishers: 256 pixels on
    /// the short side, bilinear, then the middle 224 (torchvision's `references/classification`).
    pub fn preprocess(&self) -> Preprocess {
        Preprocess {
            resize: 256,
            crop: 224,
            filter: Filter::Bilinear,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }
}
