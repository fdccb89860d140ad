//! Square images with labels: the form in which every data set of Regulus, rendered or read from disk, reaches a method.

use regulus_images::RgbImage;
use thiserror::Error;

use crate::Squares;

/// Labelled RGB images of one square size.
#[derive(Debug, Clone, Default)]
pub struct LabelledImages {
    /// Width and height of every image, in pixels.
    pub side: usize,
    /// Pixels `[n, side, side, 3]`, row by row, one byte per channel.
    pub pixels: Squares,
    /// Class of each image `[n]`.
    pub labels: Vec<usize>,
}

/// Equal where labels and pixels are, wherever these are kept.
impl PartialEq for LabelledImages {
    fn eq(&self, other: &Self) -> bool {
        self.side == other.side && self.labels == other.labels && self.images().eq(other.images())
    }
}

impl Eq for LabelledImages {}

/// Why pixels and labels do not form a [`LabelledImages`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LabelledImagesError {
    /// The number of bytes is not that of the labelled images.
    #[error(
        "{labels} labels of {side}x{side} RGB images need {expected} bytes of pixels, but there are {actual}: pass one label per image"
    )]
    Length {
        /// Side of an image in pixels.
        side: usize,
        /// Number of labels.
        labels: usize,
        /// Bytes that these labels ask for.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
}

impl LabelledImages {
    /// Images of `side` x `side` pixels with one label each.
    ///
    /// # Errors
    /// [`LabelledImagesError::Length`] where `pixels` is not `labels.len() * side * side * 3` bytes long.
    pub fn new(side: usize, pixels: Vec<u8>, labels: Vec<usize>) -> Result<Self, LabelledImagesError> {
        let expected = side.saturating_mul(side).saturating_mul(3).saturating_mul(labels.len());
        if pixels.len() != expected {
            return Err(LabelledImagesError::Length {
                side,
                labels: labels.len(),
                expected,
                actual: pixels.len(),
            });
        }
        Ok(Self { side, pixels: pixels.into(), labels })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image: `side * side * 3`.
    pub fn image_bytes(&self) -> usize {
        self.side * self.side * 3
    }

    /// Pixels `[side, side, 3]` of image `index`.
    ///
    /// # Panics
    /// Like a slice, where `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> &[u8] {
        self.pixels.image(index, self.image_bytes())
    }

    /// Pixels `[side, side, 3]` of each image, in order.
    pub fn images(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.image(index))
    }

    /// Image `index` on its own.
    ///
    /// # Panics
    /// Like a slice, where `index` is not below [`len`](Self::len).
    pub fn rgb_image(&self, index: usize) -> RgbImage {
        RgbImage { width: self.side, height: self.side, pixels: self.image(index).to_vec() }
    }

    /// The images at `indices`, in that order; an index may occur more than once.
    ///
    /// # Panics
    /// Like a slice, where an index is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.image_bytes());
        for &index in indices {
            pixels.extend_from_slice(self.image(index));
        }
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Self { side: self.side, pixels: pixels.into(), labels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> LabelledImages {
        LabelledImages::new(1, vec![1, 2, 3, 4, 5, 6, 7, 8, 9], vec![0, 1, 2]).unwrap()
    }

    #[test]
    fn subset_keeps_pixels_with_their_labels() {
        let picked = three().subset(&[2, 0, 2]);
        assert_eq!(picked.labels, [2, 0, 2]);
        assert_eq!([0, 1, 2].map(|index| picked.image(index)), [[7, 8, 9], [1, 2, 3], [7, 8, 9]]);
        assert!(three().subset(&[]).is_empty());
    }

    #[test]
    fn a_wrong_length_is_refused() {
        let error = LabelledImages::new(2, vec![0; 11], vec![0]).unwrap_err();
        assert_eq!(error, LabelledImagesError::Length { side: 2, labels: 1, expected: 12, actual: 11 });
        assert!(LabelledImages::new(usize::MAX, vec![], vec![0]).is_err());
    }
}
