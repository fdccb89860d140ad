//! Learned prompt vectors: the second way, beside weight changes, in which a method enters a frozen tower.
//!
//! Prompts of the first layer are extra positions of the image tower, and take the place of words in the text
//! tower. Deep prompts overwrite those positions again at the input of later layers (Jia et al. 2022; Khattak et
//! al. 2023, `trainers/independentVL.py` and `clip/model.py` of the PromptSRC code). Layers behind the last
//! prompt keep what flows.

use crate::precision::Precision;
use burn::tensor::Tensor;
use std::ops::Range;

/// Prompt vectors for the first layers of a tower.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeepPrompts {
    /// One `[prompts, width]` per layer, all of the same size; empty without prompts.
    layers: Vec<Tensor<2>>,
}

impl DeepPrompts {
    pub(crate) fn new(layers: Vec<Tensor<2>>) -> Self {
        Self { layers }
    }

    /// The same prompts in another format.
    pub(crate) fn computing_in(&self, precision: Precision) -> Self {
        Self { layers: self.layers.iter().map(|prompts| precision.enter(prompts.clone())).collect() }
    }

    /// One `[prompts, width]` per layer.
    pub(crate) fn layers(&self) -> &[Tensor<2>] {
        &self.layers
    }

    /// Number of positions that the prompts take.
    pub(crate) fn positions(&self) -> usize {
        self.layers.first().map_or(0, |prompts| prompts.dims()[0])
    }

    /// `x` with the first layer's prompts behind its last position.
    ///
    /// # Shapes
    /// - `x`: `[batch, positions, width]`
    /// - output: `[batch, positions + prompts, width]`
    pub(crate) fn appended_to(&self, x: Tensor<3>) -> Tensor<3> {
        let Some(prompts) = self.layers.first() else { return x };
        let [batch, _, width] = x.dims();
        let prompts = prompts.clone().unsqueeze::<3>().expand([batch, self.positions(), width]);
        Tensor::cat(vec![x, prompts], 1)
    }

    /// `x` with the first layer's prompts in the place of the positions behind the start token.
    ///
    /// # Shapes
    /// - `x`: `[batch, positions, width]`
    /// - output: as `x`
    pub(crate) fn after_start(&self, x: Tensor<3>) -> Tensor<3> {
        self.overwrite(0, x, |_| 1..1 + self.positions())
    }

    /// The input of block `layer` of the image tower: its last positions are that layer's prompts.
    pub(crate) fn image_block_input(&self, layer: usize, x: Tensor<3>) -> Tensor<3> {
        if layer == 0 { x } else { self.overwrite(layer, x, |length| length - self.positions()..length) }
    }

    /// The input of block `layer` of the text tower: the positions behind the start are that layer's prompts.
    pub(crate) fn text_block_input(&self, layer: usize, x: Tensor<3>) -> Tensor<3> {
        if layer == 0 { x } else { self.overwrite(layer, x, |_| 1..1 + self.positions()) }
    }

    fn overwrite(&self, layer: usize, x: Tensor<3>, place: impl Fn(usize) -> Range<usize>) -> Tensor<3> {
        let Some(prompts) = self.layers.get(layer) else { return x };
        let [batch, length, width] = x.dims();
        let place = place(length);
        let prompts = prompts.clone().unsqueeze::<3>().expand([batch, self.positions(), width]);
        let mut parts = vec![x.clone().narrow(1, 0, place.start), prompts];
        if place.end < length {
            parts.push(x.narrow(1, place.end, length - place.end));
        }
        Tensor::cat(parts, 1)
    }
}
