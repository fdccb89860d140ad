//! Augmented batches ahead of time: while a step computes, the originals of the next ones are read, decoded and changed.
//!
//! Batches are those of the [`Sampler`], bit by bit.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Tensor, TensorData};
use regulus_datasets::Source;
use regulus_datasets::loader::{
    Batch as Loaded, FaultCause, ImageFault, Loader, LoaderError, LoaderOptions, View, Visit, Workers,
};
use regulus_images::random::Stream;
use regulus_images::{DecodeError, FileError};

use crate::augmentation::{Step, view};
use crate::batches::{Batch, BatchSource, ImageSet, Sampler};

/// The batches of a sampler whose images are changed before they are resized.
pub struct Prefetched<'a> {
    sampler: Sampler<'a>,
    originals: Arc<dyn Source>,
    view: View,
    workers: Arc<Workers>,
    ahead: Mutex<Option<Ahead>>,
}

/// A loader, and the number of the batch that it delivers next.
struct Ahead {
    next: usize,
    loader: Loader<f32>,
}

impl<'a> Prefetched<'a> {
    /// The batches of `sampler`, from `originals`, of which `steps` make what is seen. Decoding takes turns with the CPU
    /// backend on the same threads.
    pub fn new(sampler: Sampler<'a>, originals: Arc<dyn Source>, steps: &[Step]) -> Self {
        let (steps, preprocess, seed) = (steps.to_vec(), sampler.images.preprocess.clone(), sampler.seed);
        let change = move |image, Visit { index, epoch }| {
            view(&steps, image, &preprocess, |step| Stream::new(seed, step, epoch, index as u64))
        };
        Self {
            sampler,
            originals,
            view: View::OfOriginal(Arc::new(change)),
            workers: Arc::new(Workers::global()),
            ahead: Mutex::new(None),
        }
    }

    /// A loader of all batches from number `first` on.
    fn loader(&self, first: usize) -> Result<Loader<f32>, LoaderError> {
        let order = self.sampler.order();
        let plan = order.batches_from(first).map(|(epoch, indices)| {
            indices.into_iter().map(|index| Visit { index, epoch: epoch as u64 }).collect()
        });
        Loader::new(
            Arc::clone(&self.originals),
            self.sampler.images.preprocess.clone(),
            self.view.clone(),
            None,
            plan,
            &self.workers,
            LoaderOptions::default(),
        )
    }
}

impl BatchSource for Prefetched<'_> {
    fn batch(&self, step: usize) -> Result<Option<Batch>, FileError> {
        if self.sampler.images.is_empty() {
            return Ok(None);
        }
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current = match ahead.take().filter(|current| current.next == step) {
            Some(current) => current,
            // The preprocessing was checked when the images were loaded, and there is no cache.
            None => match self.loader(step) {
                Ok(loader) => Ahead { next: step, loader },
                Err(_) => return self.sampler.batch(step),
            },
        };
        let mut loaded = Loaded::default();
        if !current.loader.next_into(&mut loaded) {
            return Ok(None);
        }
        if let Some((_, fault)) = loaded.faults.into_iter().next() {
            return Err(file_error(fault));
        }
        current.next += 1;
        *ahead = Some(current);
        let epoch = loaded.visits.first().map_or(0, |visit| visit.epoch as usize);
        let indices: Vec<usize> = loaded.visits.iter().map(|visit| visit.index).collect();
        let ImageSet { preprocess, device, .. } = self.sampler.images;
        let shape = [indices.len(), 3, preprocess.crop, preprocess.crop];
        let pixels = Tensor::from_data(TensorData::new(loaded.pixels, shape), device);
        Ok(Some(Batch { pixels, labels: self.sampler.images.labels(&indices), indices, epoch, step }))
    }

    fn steps_per_epoch(&self) -> usize {
        self.sampler.steps_per_epoch()
    }

    fn unchanging(&self) -> Option<ImageSet<'_>> {
        None
    }
}

fn file_error(fault: ImageFault) -> FileError {
    let cause = match fault.cause {
        FaultCause::Decode(cause) => cause,
        other => DecodeError::Unreadable(std::io::Error::other(other.to_string())),
    };
    FileError { path: fault.path, cause }
}

impl fmt::Debug for Prefetched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefetched").field("sampler", &self.sampler).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use regulus_datasets::LabelledImages;
    use regulus_images::Preprocess;
    use regulus_images::augment::PaddedCrop;

    use super::*;
    use crate::batches::Augmentation;
    use crate::testing::device;

    #[test]
    fn batches_are_those_of_the_sampler_in_any_order() {
        let (preprocess, device) = (Preprocess::clip(4), device());
        let pixels = |side: usize| (0..10 * side * side * 3).map(|value| (value * 31 % 251) as u8).collect();
        let images = LabelledImages::new(4, pixels(4), (0..10).collect()).unwrap();
        let originals = LabelledImages::new(7, pixels(7), (0..10).collect()).unwrap();
        let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
        let steps = vec![Step::PaddedCrop(PaddedCrop { padding: 2 }), Step::Flip];
        let augmentation = Augmentation::Steps(steps.clone());
        let sampler = Sampler { images: set, originals: &originals, seed: 5, batch: 3, augmentation };
        let ahead = Prefetched::new(sampler.clone(), Arc::new(originals.clone()), &steps);
        assert_eq!(ahead.steps_per_epoch(), 3);
        for step in [0, 1, 2, 3, 4, 9, 2, 3] {
            let (one, other) = (ahead.batch(step).unwrap().unwrap(), sampler.batch(step).unwrap().unwrap());
            assert_eq!((&one.indices, one.epoch, one.step), (&other.indices, other.epoch, other.step));
            assert_eq!(one.pixels.into_data(), other.pixels.into_data(), "step {step}");
            assert_eq!(one.labels.into_data(), other.labels.into_data());
        }
    }
}
