//! The image tower, whatever its architecture.

use crate::config::ImageConfig;
use crate::cpu::is_cpu;
use crate::injection::Injection;
use crate::modified_resnet::ModifiedResNet;
use crate::precision::Precision;
use crate::vit::VisionTransformer;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// Where the image tower's parameters are found in the model.
pub(crate) const IMAGE_TOWER: &str = "visual";

/// The image tower.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a model has only one")]
pub enum ImageTower {
    /// A vision transformer.
    Vit(VisionTransformer),
    /// OpenAI's residual network.
    ResNet(ModifiedResNet),
}

impl ImageTower {
    pub(crate) fn vacant(config: &ImageConfig, embed_dim: usize, device: &Device) -> Self {
        match config {
            ImageConfig::Vit(vit) => Self::Vit(VisionTransformer::vacant(vit, embed_dim, device)),
            ImageConfig::ResNet(resnet) => Self::ResNet(ModifiedResNet::vacant(resnet, embed_dim, device)),
        }
    }

    pub(crate) fn compute_in(&mut self, precision: Precision) {
        match self {
            Self::Vit(vit) => vit.compute_in(precision),
            Self::ResNet(resnet) => resnet.compute_in(precision),
        }
    }

    pub(crate) fn compute_every_position(&mut self) {
        match self {
            Self::Vit(vit) => vit.compute_every_position(),
            // Its last layer reads all of them.
            Self::ResNet(_) => {}
        }
    }

    /// Width of the features after the projection.
    pub fn embed_dim(&self) -> usize {
        match self {
            Self::Vit(vit) => vit.embed_dim(),
            Self::ResNet(resnet) => resnet.embed_dim(),
        }
    }

    /// Width of [`Self::pooled`].
    pub fn pooled_width(&self) -> usize {
        match self {
            Self::Vit(vit) => vit.width(),
            Self::ResNet(resnet) => resnet.pooled_width(),
        }
    }

    /// How many images a pass without changes should take at a time on this device, if not all of them. On the CPU, products
    /// of more rows are no faster, and what is alive at once in a block grows with them.
    pub fn images_at_once(&self, device: &Device) -> Option<usize> {
        match self {
            Self::Vit(vit) if is_cpu(device) => vit.images_at_once(),
            _ => None,
        }
    }

    /// What the projection, and a linear probe, reads: one vector per image.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, resolution, resolution]`, normalised as the model expects
    /// - output: `[batch, width]`
    ///
    /// # Panics
    /// If the pixels are not of the model's resolution.
    pub fn pooled(&self, pixels: Tensor<4>, injection: &Injection) -> Tensor<2> {
        match self {
            Self::Vit(vit) => vit.pooled(pixels, injection),
            Self::ResNet(resnet) => resnet.pooled(pixels, injection),
        }
    }

    /// Projects [`Self::pooled`] into the shared embedding space.
    ///
    /// # Shapes
    /// - `pooled`: `[batch, width]`
    /// - output: `[batch, embed_dim]`, not normalised
    pub fn project(&self, pooled: Tensor<2>, injection: &Injection) -> Tensor<2> {
        match self {
            Self::Vit(vit) => vit.project(pooled, injection),
            Self::ResNet(resnet) => resnet.project(pooled, injection),
        }
    }
}
