//! What a loader delivers: the pixels of a batch in one buffer, as bytes or as a model's input.

use regulus_images::Preprocess;

use super::ImageFault;

/// One look at one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Visit {
    /// Index of the image in its source.
    pub index: usize,
    /// The pass over the data, from 0: what is random about an image differs from epoch to epoch.
    pub epoch: u64,
}

/// The images of a batch. The caller keeps it from batch to batch, and its buffer is used again.
#[derive(Debug)]
pub struct Batch<T> {
    /// `u8`: `[batch, side, side, 3]`. `f32`: normalised, `[batch, 3, side, side]`. Zeros where an image has a fault.
    pub pixels: Vec<T>,
    /// Which images these are, `[batch]`.
    pub visits: Vec<Visit>,
    /// Images that could not be had: their position in the batch, ascending, and why.
    pub faults: Vec<(usize, ImageFault)>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { pixels: Vec::new(), visits: Vec::new(), faults: Vec::new() }
    }
}

/// The two forms of pixels: `u8` squares and normalised `f32` planes.
pub trait Sample: form::Form {}

impl Sample for u8 {}
impl Sample for f32 {}

pub(super) mod form {
    use super::Preprocess;

    /// What only this crate needs to know of a [`Sample`](super::Sample).
    pub trait Form: Copy + Default + Send + Sync + 'static {
        /// Writes a square of `[side, side, 3]` bytes to an image of a batch, of the same length.
        fn write(preprocess: &Preprocess, square: &[u8], out: &mut [Self]);
    }

    impl Form for u8 {
        fn write(_: &Preprocess, square: &[u8], out: &mut [Self]) {
            out.copy_from_slice(square);
        }
    }

    impl Form for f32 {
        fn write(preprocess: &Preprocess, square: &[u8], out: &mut [Self]) {
            preprocess.normalise(square, out);
        }
    }
}
