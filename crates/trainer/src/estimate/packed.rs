//! Weights that stay packed for the matrix unit, besides the weights themselves: `flex/frozen.rs` of `regulus-kernels`.

use regulus_kernels::MatmulPrecision;

use super::blocks::{Blocks, Tracked};
use super::memory::Run;
use crate::zero_shot::FROZEN_TEXTS;

impl Run<'_> {
    /// Bytes of packed weights. Products in f32 have none.
    pub(super) fn packed_weights(&self) -> f64 {
        let bytes = match self.spec.model.matmul {
            MatmulPrecision::F32 => 0.0,
            MatmulPrecision::Bf16x3 => 4.0,
            MatmulPrecision::Bf16 => 2.0,
        };
        let image = self.encoder.transformer().map_or(0.0, |(blocks, _)| packed(blocks, self.demand.image));
        // Weights that are used once are not kept packed.
        let again = self.demand.text.any || self.sizes.classes > FROZEN_TEXTS;
        let text = if again { packed(self.text, self.demand.text) } else { 0.0 };
        if self.sizes.on_processor { bytes * (image + text) } else { 0.0 }
    }
}

/// Packed entries of a tower: all weights for its layers, and those that are frozen for the gradients of its layers' inputs.
fn packed(blocks: Blocks, tracked: Tracked) -> f64 {
    let back = |trained: bool, entries: f64| if tracked.any && !trained { entries } else { 0.0 };
    let (attention, mlp) = (blocks.attention_weights(), blocks.mlp_weights());
    blocks.layers * (attention + mlp + back(tracked.attention, attention) + back(tracked.mlp, mlp))
}
