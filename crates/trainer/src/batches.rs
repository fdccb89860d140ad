//! From images in memory, or their originals, to the batches of a step.

use std::convert::Infallible;

use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;
use regulus_datasets::{LabelledImages, Source};
use regulus_images::random::Stream;
use regulus_images::{FileError, Preprocess};

pub use crate::augmentation::Augmentation;
use crate::augmentation::view;

/// The images of one forward and backward pass: of one optimiser step, unless gradients are accumulated.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Normalised pixels, `[batch, 3, height, width]`.
    pub pixels: Tensor<4>,
    /// Class indices, `[batch]`.
    pub labels: Tensor<1, Int>,
    /// Which images of the set these are.
    pub indices: Vec<usize>,
    /// The pass over the data that the batch belongs to, from 0.
    pub epoch: usize,
    /// Its number among the batches of the run, from 0: the optimiser step, unless gradients are accumulated.
    pub step: usize,
}

impl Batch {
    /// The rows of this batch's images.
    ///
    /// # Shapes
    /// - `all`: one row for each image of the set, `[images, width]`
    /// - output: `[batch, width]`
    pub fn rows_of(&self, all: &Tensor<2>) -> Tensor<2> {
        let rows: Vec<i64> = self.indices.iter().map(|&index| index as i64).collect();
        all.clone().select(0, Tensor::from_data(rows.as_slice(), &all.device()))
    }
}

/// A labelled set of images together with how a model wants to see them.
#[derive(Debug, Clone, Copy)]
pub struct ImageSet<'a> {
    /// The images, already resized and cropped.
    pub images: &'a LabelledImages,
    /// The model's preprocessing; only its normalisation is left to do.
    pub preprocess: &'a Preprocess,
    /// Where tensors are made.
    pub device: &'a Device,
}

impl<'a> ImageSet<'a> {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.images.len() == 0
    }

    /// Normalised pixels `[batch, 3, side, side]` of the given images; `flipped(position)` mirrors.
    fn pixels(&self, indices: &[usize], flipped: impl Fn(usize) -> bool + Sync) -> Tensor<4> {
        let side = self.images.side;
        let Ok(pixels) = self.filled::<Infallible>(indices.len(), side, |position, out| {
            self.preprocess.normalise(self.images.image(indices[position]), out);
            if flipped(position) {
                out.chunks_exact_mut(side).for_each(<[f32]>::reverse);
            }
            Ok(())
        });
        pixels
    }

    /// Pixels `[count, 3, side, side]`, each image filled by `fill(position, out)`, in parallel; or the first error in
    /// the order of the images.
    fn filled<E: Send>(
        &self,
        count: usize,
        side: usize,
        fill: impl Fn(usize, &mut [f32]) -> Result<(), E> + Sync,
    ) -> Result<Tensor<4>, E> {
        let mut values = vec![0f32; count * 3 * side * side];
        let images = values.par_chunks_mut(3 * side * side).enumerate();
        let outcomes: Vec<Result<(), E>> = images.map(|(position, out)| fill(position, out)).collect();
        outcomes.into_iter().collect::<Result<(), E>>()?;
        Ok(Tensor::from_data(TensorData::new(values, [count, 3, side, side]), self.device))
    }

    pub(crate) fn labels(&self, indices: &[usize]) -> Tensor<1, Int> {
        let labels: Vec<i64> = indices.iter().map(|&index| self.images.labels[index] as i64).collect();
        Tensor::from_data(TensorData::new(labels, [indices.len()]), self.device)
    }

    /// Pixels of all images in order, `size` at a time.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = Tensor<4>> + use<'a> {
        let set = *self;
        let starts = (0..set.len()).step_by(size.max(1));
        starts.map(move |start| {
            let indices: Vec<usize> = (start..set.len().min(start + size.max(1))).collect();
            set.pixels(&indices, |_| false)
        })
    }

    /// Every image once in the order of a run's first epoch, `size` at a time; the last batch may be smaller.
    pub fn shuffled(&self, seed: u64, size: usize) -> impl ExactSizeIterator<Item = Batch> + use<'a> {
        let (set, size) = (*self, size.max(1));
        let order = Stream::new(seed, "order", 0, 0).permutation(set.len());
        (0..set.len().div_ceil(size)).map(move |step| {
            let indices: Vec<usize> = order.iter().copied().skip(step * size).take(size).collect();
            let (pixels, labels) = (set.pixels(&indices, |_| false), set.labels(&indices));
            Batch { pixels, labels, indices, epoch: 0, step }
        })
    }
}

/// Where the batches of a run come from.
pub trait BatchSource {
    /// The batch of this number, from 0; `None` ends the run early.
    ///
    /// # Errors
    /// [`FileError`] with the path of an image that cannot be read.
    fn batch(&self, step: usize) -> Result<Option<Batch>, FileError>;

    /// Batches in one pass over the data: optimiser steps, unless gradients are accumulated.
    fn steps_per_epoch(&self) -> usize;

    /// The whole set, when every visit sees its images unchanged: what is frozen may then be computed once
    /// per image.
    fn unchanging(&self) -> Option<ImageSet<'_>>;
}

/// Which images each batch shows: a fresh permutation per epoch, partial last batches dropped when there
/// is at least one full batch (as Dassl's training loader does).
#[derive(Debug, Clone)]
pub struct Sampler<'a> {
    /// The training images.
    pub images: ImageSet<'a>,
    /// Their originals, which [`Augmentation::Steps`] change.
    pub originals: &'a dyn Source,
    /// Seed of the order and of the augmentation.
    pub seed: u64,
    /// Images per batch.
    pub batch: usize,
    /// How images are changed.
    pub augmentation: Augmentation,
}

impl Sampler<'_> {
    /// Pixels `[batch, 3, side, side]` of the given images as they are seen in `epoch`. What is random about an image
    /// depends on the seed, the epoch and the image alone.
    fn pixels(&self, indices: &[usize], epoch: usize) -> Result<Tensor<4>, FileError> {
        let stream = |step: &str, index: usize| Stream::new(self.seed, step, epoch as u64, index as u64);
        let preprocess = self.images.preprocess;
        match &self.augmentation {
            Augmentation::None => Ok(self.images.pixels(indices, |_| false)),
            Augmentation::Flip => {
                Ok(self.images.pixels(indices, |position| stream("flip", indices[position]).chance(0.5)))
            }
            Augmentation::Steps(steps) => {
                self.images.filled(indices.len(), preprocess.crop, |position, out| {
                    let index = indices[position];
                    let original = self.originals.original(index)?;
                    let seen = view(steps, original, preprocess, |step| stream(step, index));
                    preprocess.normalise(&seen.pixels, out);
                    Ok(())
                })
            }
        }
    }

    /// Pixels of all images in their order, `size` at a time, as they are seen in `epoch`.
    pub(crate) fn in_order(
        &self,
        epoch: usize,
        size: usize,
    ) -> impl Iterator<Item = Result<Tensor<4>, FileError>> {
        let indices: Vec<usize> = (0..self.images.len()).collect();
        let chunks: Vec<Vec<usize>> = indices.chunks(size.max(1)).map(<[usize]>::to_vec).collect();
        chunks.into_iter().map(move |indices| self.pixels(&indices, epoch))
    }

    /// Which images each step sees.
    pub(crate) fn order(&self) -> Order {
        Order { seed: self.seed, images: self.images.len(), batch: self.batch }
    }

    /// The epoch of a step, and the images that it sees.
    pub(crate) fn indices(&self, step: usize) -> (usize, Vec<usize>) {
        self.order().batches_from(step).next().unwrap_or_default()
    }
}

/// The order in which a run visits its images: a fresh permutation per epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    seed: u64,
    images: usize,
    batch: usize,
}

impl Order {
    fn steps_per_epoch(self) -> usize {
        (self.images / self.batch.max(1)).max(1)
    }

    /// Epoch and images of the steps from number `first` on, without an end.
    pub(crate) fn batches_from(self, first: usize) -> impl Iterator<Item = (usize, Vec<usize>)> + Send {
        let per_epoch = self.steps_per_epoch();
        (first / per_epoch..).flat_map(move |epoch| {
            let order = Stream::new(self.seed, "order", epoch as u64, 0).permutation(self.images);
            let skipped = if epoch == first / per_epoch { first % per_epoch } else { 0 };
            (skipped..per_epoch).map(move |position| {
                (epoch, order.iter().copied().skip(position * self.batch).take(self.batch).collect())
            })
        })
    }
}

impl BatchSource for Sampler<'_> {
    fn batch(&self, step: usize) -> Result<Option<Batch>, FileError> {
        let (epoch, indices) = self.indices(step);
        if indices.is_empty() {
            return Ok(None);
        }
        let pixels = self.pixels(&indices, epoch)?;
        Ok(Some(Batch { pixels, labels: self.images.labels(&indices), indices, epoch, step }))
    }

    fn steps_per_epoch(&self) -> usize {
        self.order().steps_per_epoch()
    }

    fn unchanging(&self) -> Option<ImageSet<'_>> {
        (self.augmentation == Augmentation::None).then_some(self.images)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use regulus_datasets::ImageFiles;
    use regulus_images::augment::{PaddedCrop, RandAugment};

    use super::*;
    use crate::augmentation::Step;
    use crate::testing::device;

    /// `n` images of 2 x 2 pixels whose bytes count up.
    fn images(n: usize) -> LabelledImages {
        let pixels = (0..n * 12).map(|value| value as u8).collect::<Vec<u8>>();
        LabelledImages { side: 2, pixels: pixels.into(), labels: (0..n).collect() }
    }

    fn preprocess() -> Preprocess {
        Preprocess { mean: [0.0; 3], std: [1.0; 3], ..Preprocess::clip(2) }
    }

    fn sampler<'a>(set: ImageSet<'a>, augmentation: Augmentation) -> Sampler<'a> {
        Sampler { images: set, originals: set.images, seed: 3, batch: 4, augmentation }
    }

    #[test]
    fn an_epoch_visits_every_image_at_most_once_and_drops_the_partial_batch() {
        let (images, preprocess, device) = (images(10), preprocess(), device());
        let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
        let sampler = sampler(set, Augmentation::None);
        assert_eq!(sampler.steps_per_epoch(), 2);
        let batches: Vec<Batch> = (0..4).filter_map(|step| sampler.batch(step).unwrap()).collect();
        assert_eq!(batches.iter().map(|batch| batch.epoch).collect::<Vec<_>>(), [0, 0, 1, 1]);
        for epoch in batches.chunks(2) {
            let mut seen: Vec<usize> = epoch.iter().flat_map(|batch| batch.indices.clone()).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 8);
        }
        assert_ne!(batches[0].indices, batches[2].indices);
    }

    #[test]
    fn a_set_smaller_than_a_batch_is_one_batch() {
        let (images, preprocess, device) = (images(3), preprocess(), device());
        let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
        let batch = sampler(set, Augmentation::None).batch(5).unwrap().unwrap();
        assert_eq!((batch.indices.len(), batch.epoch), (3, 5));
        let empty = LabelledImages { side: 2, ..LabelledImages::default() };
        let set = ImageSet { images: &empty, preprocess: &preprocess, device: &device };
        assert!(sampler(set, Augmentation::None).batch(0).unwrap().is_none());
    }

    #[test]
    fn a_shuffled_set_has_every_image_once_in_the_order_of_the_first_epoch() {
        let (images, preprocess, device) = (images(10), preprocess(), device());
        let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
        let batches: Vec<Batch> = set.shuffled(3, 4).collect();
        assert_eq!(batches.iter().map(|batch| batch.indices.len()).collect::<Vec<_>>(), [4, 4, 2]);
        let first = sampler(set, Augmentation::None).batch(0).unwrap().unwrap();
        assert_eq!(batches[0].indices, first.indices);
        let mut seen: Vec<usize> = batches.into_iter().flat_map(|batch| batch.indices).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert_eq!(set.shuffled(3, usize::MAX).len(), 1);
    }

    #[test]
    fn pixels_are_planes_and_flips_mirror_rows() {
        let (images, preprocess, device) = (images(1), preprocess(), device());
        let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
        let host = |tensor: Tensor<4>| -> Vec<i32> {
            let values = tensor.into_data_as::<f32>();
            values.iter::<f32>().map(|value| (value * 255.0).round() as i32).collect()
        };
        let plain = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11];
        assert_eq!(host(set.pixels(&[0], |_| false)), plain);
        assert_eq!(host(set.pixels(&[0], |_| true)), [3, 0, 9, 6, 4, 1, 10, 7, 5, 2, 11, 8]);
        let flips = sampler(set, Augmentation::Flip);
        assert!(flips.unchanging().is_none());
        let flipped = (0..32).filter(|&step| host(flips.batch(step).unwrap().unwrap().pixels) != plain);
        assert!((6..26).contains(&flipped.count()));
    }

    const STEPS: [Step; 3] = [
        Step::RandAugment(RandAugment { operations: 2, magnitude: 9.0 }),
        Step::PaddedCrop(PaddedCrop { padding: 2 }),
        Step::Flip,
    ];

    #[test]
    fn originals_are_changed_alike_on_any_number_of_threads() {
        let (images, preprocess, device) = (images(9), preprocess(), device());
        let pixels = (0..9 * 7 * 7 * 3).map(|value| (value * 31 % 256) as u8).collect();
        let originals = LabelledImages::new(7, pixels, (0..9).collect()).unwrap();
        let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
        let steps = Sampler { originals: &originals, ..sampler(set, Augmentation::Steps(STEPS.to_vec())) };
        assert!(steps.unchanging().is_none());
        let batch = |threads: usize, step: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let batch = pool.install(|| steps.batch(step)).unwrap().unwrap();
            (batch.indices, batch.pixels.into_data_as::<f32>().iter::<f32>().collect::<Vec<f32>>())
        };
        let (indices, pixels) = batch(1, 2);
        assert_eq!(batch(3, 2), (indices.clone(), pixels.clone()));
        for (&index, pixels) in indices.iter().zip(pixels.chunks(12)) {
            let stream = |step: &str| Stream::new(3, step, 1, index as u64);
            let seen = view(&STEPS, originals.rgb_image(index), &preprocess, stream);
            let mut expected = vec![0.0; 12];
            preprocess.normalise(&seen.pixels, &mut expected);
            assert_eq!(pixels, expected, "image {index} in the second epoch");
        }
    }

    #[test]
    fn the_first_original_that_cannot_be_read_is_named() {
        let (images, preprocess, device) = (images(4), preprocess(), device());
        let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
        let files = ImageFiles((0..4).map(|index| PathBuf::from(format!("no/{index}.png"))).collect());
        let steps = Augmentation::Steps(STEPS.to_vec());
        let order = sampler(set, Augmentation::None).batch(0).unwrap().unwrap().indices;
        let error = Sampler { originals: &files, ..sampler(set, steps) }.batch(0).unwrap_err();
        assert_eq!(error.path, files.0[order[0]]);
    }
}
