//! The residual network of an image tower.

use super::check::{Check, LAYER_LIMIT, SIZE_LIMIT};
use serde::{Deserialize, Serialize};

/// OpenAI's modified ResNet (Radford et al. 2021, section 2.4): a stem of three convolutions,
/// average pools in the place of strides, and an attention pool at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// Side of the square input image, in pixels; a multiple of 32.
    pub resolution: usize,
    /// Channels after the stem; even. RN50: 64.
    pub width: usize,
    /// Number of blocks of each layer.
    pub blocks: [usize; 4],
    /// Number of heads of the attention pool; divides [`Self::pooled_width`]. OpenAI's models have
    /// one per 64 channels.
    pub heads: usize,
}

impl ResNetConfig {
    /// By how much the network reduces each side of an image.
    pub const REDUCTION: usize = 32;

    /// Channels of a block's output per channel of its inner convolutions.
    pub const EXPANSION: usize = 4;

    /// Number of positions along one side that the attention pool reads.
    pub fn grid(&self) -> usize {
        self.resolution / Self::REDUCTION
    }

    /// Number of positions of the attention pool: one per place of the grid and their mean.
    pub fn positions(&self) -> usize {
        self.grid().saturating_mul(self.grid()) + 1
    }

    /// Channels of the inner convolutions of each layer's blocks.
    pub fn layer_widths(&self) -> [usize; 4] {
        [1, 2, 4, 8].map(|factor| self.width.saturating_mul(factor))
    }

    /// Width of what the attention pool yields before its projection.
    pub fn pooled_width(&self) -> usize {
        self.width.saturating_mul(8 * Self::EXPANSION)
    }

    pub(super) fn check(&self, check: &mut Check) {
        check.size("image.resolution", self.resolution, SIZE_LIMIT);
        check.size("image.width", self.width, SIZE_LIMIT / (8 * Self::EXPANSION));
        for (layer, blocks) in self.blocks.into_iter().enumerate() {
            check.size(&format!("image.blocks[{layer}]"), blocks, LAYER_LIMIT);
        }
        check.size("image.heads", self.heads, SIZE_LIMIT);
        check.multiple(("image.resolution", self.resolution), ("the network's reduction", Self::REDUCTION));
        check.multiple(("image.width", self.width), ("the stem's reduction", 2));
        check.multiple(("32 * image.width", self.pooled_width()), ("image.heads", self.heads));
    }

    /// Number of trainable parameters, with the projection to `embed_dim`.
    pub(super) fn parameter_count(&self, embed_dim: usize) -> u128 {
        let wide = |value: usize| value as u128;
        let (width, half, expansion) = (wide(self.width), wide(self.width / 2), wide(Self::EXPANSION));
        let norm = |channels: u128| 2 * channels;
        let stem = 9 * (3 * half + half * half + half * width) + 2 * norm(half) + norm(width);
        let mut inputs = width;
        let mut layers = 0;
        for (inner, blocks) in self.layer_widths().map(wide).into_iter().zip(self.blocks.map(wide)) {
            let outputs = expansion * inner;
            let body = 9 * inner * inner + inner * outputs + 2 * norm(inner) + norm(outputs);
            let shortcut = inputs * outputs + norm(outputs);
            layers += blocks * body + (inputs + blocks.saturating_sub(1) * outputs) * inner + shortcut;
            inputs = outputs;
        }
        let pool =
            wide(self.positions()) * inputs + 3 * (inputs * inputs + inputs) + (inputs + 1) * wide(embed_dim);
        stem + layers + pool
    }
}
