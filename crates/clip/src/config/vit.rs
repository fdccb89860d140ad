//! The vision transformer of an image tower.

use super::check::{Check, SIZE_LIMIT};
use super::transformer::{Activation, blocks};
use serde::{Deserialize, Serialize};

/// A vision transformer (Dosovitskiy et al. 2021). CLIP's have an extra LayerNorm before the blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Side of the square input image, in pixels.
    pub resolution: usize,
    /// Side of a square patch, in pixels. A rest of the image at its right and lower edge is not read.
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
        check.at_most("image.patch", self.patch as u128, self.resolution as u128);
        check.tower("image", self.width, self.layers, self.heads, self.mlp_width, self.layer_norm_eps);
    }

    /// Number of parameters, with the projection to `embed_dim`.
    pub(crate) fn parameter_count(&self, embed_dim: usize) -> u128 {
        let (grid, width) = (self.grid() as u128, self.width as u128);
        self.patch_values() as u128 * width
            + (grid * grid + 1) * width
            + 5 * width
            + blocks(self.width, self.layers, self.mlp_width)
            + width * embed_dim as u128
    }
}
