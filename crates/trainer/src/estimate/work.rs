//! About how long a run will take: its floating-point operations over what the device does in a second.

use std::time::Duration;

use super::blocks::{Operations, Tracked};
use super::demand::unchanging;
use super::encoder::blocks;
use super::memory::Run;
use super::sizes::Sizes;
use crate::experiment::{EnsembleSpace, ExperimentSpec};

/// How much longer real passes take than their matrix products would at the measured speed: normalisation, softmax,
/// activations, copies, images and updates. Measured; see `docs/reference/memory.md`.
const OVERHEAD: f64 = 1.6;

/// Floating-point operations of a run and of the stages before it.
pub fn operations(spec: &ExperimentSpec, sizes: &Sizes) -> f64 {
    let before = spec.stage_before().map_or(0.0, |stage| operations(&stage, sizes));
    before + Run::new(spec, sizes).operations()
}

/// The time that so many operations take at `speed` operations per second.
pub fn duration(operations: f64, speed: f64) -> Duration {
    Duration::try_from_secs_f64(operations * OVERHEAD / speed.max(1.0)).unwrap_or(Duration::MAX)
}

impl Run<'_> {
    fn operations(&self) -> f64 {
        let Self { spec, sizes, encoder, text, demand, .. } = self;
        let tokens = self.text_tokens();
        let of_image = encoder.operations(demand.image_vectors, demand.image);
        let of_text = text.operations(tokens, demand.text);
        let frozen_image = encoder.operations(0.0, Tracked::NOTHING).forward;
        // Two gradients share a forward pass, but for convolutions.
        let backward = if demand.twice { 2.0 } else { 1.0 };
        let both = |operations: Operations, forward: f64| {
            forward * operations.forward + backward * operations.backward
        };
        let of_tower = if encoder.transformer().is_some() { 1.0 } else { backward };
        // What texts begin with is computed once, and they are computed once more where a step takes them in parts.
        let texts = |texts: f64| self.text_positions(texts) / tokens.max(1.0);
        let of_texts = if self.takes_classes_in_parts() { 2.0 } else { 1.0 };
        let frozen_asked = demand.teacher || demand.frozen_images;
        let mut step = 0.0;
        if demand.image.any {
            step += self.batch() * both(of_image, of_tower);
        }
        if demand.text.any {
            step += texts(self.texts()) * both(of_text, of_texts);
        }
        if frozen_asked && !unchanging(spec) {
            step += self.batch() * frozen_image;
        }
        let steps = spec.training.as_ref().map_or(0.0, |training| {
            let per_epoch = sizes.train / training.batch.saturating_mul(training.accumulate).max(1);
            training.total_steps(per_epoch.max(1)) as f64 * training.accumulate as f64
        });
        let once = demand.views
            + if frozen_asked && self.keeps_frozen() { 1.0 } else { 0.0 }
            + if demand.solver_copies > 0.0 { 1.0 } else { 0.0 };
        let looks = 1.0
            + spec.ensemble.as_ref().map_or(0.0, |ensemble| match ensemble.space {
                EnsembleSpace::Logits => 1.0,
                EnsembleSpace::Weights => ensemble.shares.len() as f64,
            });
        let texts_of_tests = if demand.texts_per_image { sizes.tests as f64 } else { 2.0 };
        let bert = sizes.bert.as_ref().map_or(0.0, |bert| {
            let stack = blocks(bert.width, bert.layers, bert.heads, bert.mlp_width);
            sizes.classes as f64 * stack.operations(tokens, Tracked::NOTHING).forward
        });
        steps * step
            + sizes.train as f64 * once * frozen_image
            + sizes.tests as f64 * looks * of_image.forward
            + texts_of_tests * texts(sizes.classes as f64) * of_text.forward
            + bert
    }
}
