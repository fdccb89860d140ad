//! Image backbones: networks that yield one feature per image and know nothing of texts.

mod vit;
mod vit_config;
mod vit_names;

pub use vit::{LoadedVit, VitBackbone};

use crate::injection::Injection;
use crate::parameters::{NamedParameter, named, shapes};
use burn::module::Module;
use burn::tensor::Tensor;

/// An image backbone. Its parameters never require gradients and are never mutated; what a method
/// trains enters through an [`Injection`]. Clones share memory.
#[derive(Module, Debug)]
pub enum Backbone {
    /// A vision transformer.
    Vit(VitBackbone),
}

impl Backbone {
    /// Width of the features.
    pub fn width(&self) -> usize {
        match self {
            Self::Vit(vit) => vit.width(),
        }
    }

    /// The feature of each image.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, resolution, resolution]`, normalised as the backbone expects
    /// - output: `[batch, width]`
    ///
    /// # Panics
    /// If the pixels are not of the backbone's resolution.
    pub fn features(&self, pixels: Tensor<4>, injection: &Injection) -> Tensor<2> {
        match self {
            Self::Vit(vit) => vit.features(pixels, injection),
        }
    }

    /// The parameters in module order. They share memory with the backbone.
    pub fn parameters(&self) -> Vec<NamedParameter> {
        named(self, "")
    }

    /// Path and shape of every parameter, in module order.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        shapes(self, "")
    }
}
