//! Several batches for one optimiser step: the gradient of a large batch in the memory of a small one.

use crate::batches::{Batch, BatchSource};
use crate::method::{Method, StepOutcome};
use crate::parameters::Parameters;
use crate::stages::{self, Stage};
use crate::training::TrainError;

/// A source whose consecutive batches are taken together, `count` for each optimiser step. A step never reaches into
/// the next epoch: batches that are left over at the end of one are not used, as an image set's last partial batch is
/// not.
pub struct Accumulation<'a> {
    source: &'a dyn BatchSource,
    count: usize,
}

impl<'a> Accumulation<'a> {
    /// `count` batches of `source` for each step; all batches of an epoch, if it has fewer.
    pub fn new(source: &'a dyn BatchSource, count: usize) -> Self {
        Self { source, count: count.clamp(1, source.steps_per_epoch().max(1)) }
    }

    /// Optimiser steps in one pass over the data.
    pub fn steps_per_epoch(&self) -> usize {
        (self.source.steps_per_epoch() / self.count).max(1)
    }

    /// The batches of optimiser step `step`, or why one cannot be made; none where the source has ended.
    pub fn batches(&self, step: usize) -> impl Iterator<Item = Result<Batch, TrainError>> {
        let (epoch, position) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let first = epoch * self.source.steps_per_epoch().max(1) + position * self.count;
        let batches = (first..first + self.count)
            .map_while(|number| stages::within(Stage::Data, || self.source.batch(number)).transpose());
        batches.map(move |batch| batch.map_err(|source| TrainError::Image { step, source }))
    }

    /// The epoch of optimiser step `step` and the mean of its batches' outcomes: for a loss that is a mean over
    /// images, and batches of one size, that of one large batch. `None` where the source has ended.
    ///
    /// # Errors
    /// [`TrainError::Image`] for an image that cannot be read, [`TrainError::SmallBatch`] for a batch that the method
    /// cannot learn from.
    pub fn step(
        &self,
        step: usize,
        method: &dyn Method,
        parameters: &Parameters,
    ) -> Result<Option<(usize, StepOutcome)>, TrainError> {
        let outcome = |batch: &Batch| {
            let (images, smallest) = (batch.indices.len(), method.smallest_batch());
            if images < smallest {
                return Err(TrainError::SmallBatch { images, smallest, step });
            }
            Ok(method.step(parameters, batch))
        };
        let mut batches = self.batches(step);
        let Some(first) = batches.next().transpose()? else { return Ok(None) };
        let mut sum = outcome(&first)?;
        let mut count = 1;
        for batch in batches {
            sum = sum.plus(outcome(&batch?)?);
            count += 1;
        }
        Ok(Some((first.epoch, if count > 1 { sum.divided_by(count as f64) } else { sum })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::{Augmentation, ImageSet, Sampler};
    use crate::testing::device;
    use proptest::prelude::*;
    use regulus_datasets::LabelledImages;
    use regulus_images::Preprocess;

    proptest! {
        #[test]
        fn a_step_sees_the_images_of_the_large_batch(
            batch in 1usize..4, count in 1usize..4, more in 0usize..12, seed in 0u64..50,
        ) {
            let size = batch * count + more;
            let images = LabelledImages { side: 1, pixels: vec![0; 3 * size].into(), labels: vec![0; size] };
            let (preprocess, device) = (Preprocess::clip(1), device());
            let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
            let sampler = |batch| {
                Sampler { images: set, originals: &images, seed, batch, augmentation: Augmentation::None }
            };
            let (small, large) = (sampler(batch), sampler(batch * count));
            let small = Accumulation::new(&small, count);
            prop_assert_eq!(small.steps_per_epoch(), large.steps_per_epoch());
            for step in 0..3 * large.steps_per_epoch() {
                let whole = large.batch(step).unwrap().unwrap();
                let parts: Vec<Batch> = small.batches(step).map(Result::unwrap).collect();
                prop_assert_eq!(parts.len(), count);
                prop_assert!(parts.iter().all(|part| part.epoch == whole.epoch));
                let indices: Vec<usize> = parts.iter().flat_map(|part| part.indices.clone()).collect();
                prop_assert_eq!(&indices, &whole.indices);
            }
        }
    }

    #[test]
    fn an_epoch_with_fewer_batches_is_one_step() {
        let images = LabelledImages { side: 1, pixels: vec![0; 15].into(), labels: vec![0; 5] };
        let (preprocess, device) = (Preprocess::clip(1), device());
        let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
        let augmentation = Augmentation::None;
        let sampler = Sampler { images: set, originals: &images, seed: 1, batch: 2, augmentation };
        let accumulation = Accumulation::new(&sampler, usize::MAX);
        assert_eq!(accumulation.steps_per_epoch(), 1);
        for step in 0..2 {
            let parts: Vec<Batch> = accumulation.batches(step).map(Result::unwrap).collect();
            assert_eq!(parts.iter().map(|part| part.epoch).collect::<Vec<_>>(), [step, step]);
        }
    }
}
