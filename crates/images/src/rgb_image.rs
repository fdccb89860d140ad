//! The one image type of the project, and the operations that only move pixels.

use std::ops::Range;
use thiserror::Error;

/// An 8-bit RGB image with at least one pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Pixels per row, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// `[height, width, 3]`, row by row from the top, red first.
    pub pixels: Vec<u8>,
}

/// A shape that no [`RgbImage`] can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// A side of zero pixels.
    #[error("an image of {width} x {height} pixels has no content; both sides must be at least 1")]
    Empty {
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// The buffer does not hold `width * height * channels` samples.
    #[error(
        "an image of {width} x {height} pixels needs {width} * {height} * {channels} samples, got {samples}"
    )]
    WrongLength {
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
        /// Samples per pixel: 3 for RGB.
        channels: usize,
        /// Length of the buffer that was given.
        samples: usize,
    },
    /// A crop that leaves the image.
    #[error(
        "a crop of {crop_width} x {crop_height} pixels at ({left}, {top}) leaves the image of \
         {width} x {height} pixels"
    )]
    OutOfBounds {
        /// First column of the crop.
        left: usize,
        /// First row of the crop.
        top: usize,
        /// Columns of the crop.
        crop_width: usize,
        /// Rows of the crop.
        crop_height: usize,
        /// Columns of the image.
        width: usize,
        /// Rows of the image.
        height: usize,
    },
}

impl RgbImage {
    /// An image from its bytes, `[height, width, 3]`.
    ///
    /// # Errors
    /// [`ShapeError::Empty`] and [`ShapeError::WrongLength`].
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self, ShapeError> {
        check_shape(width, height, 3, pixels.len())?;
        Ok(Self { width, height, pixels })
    }

    /// Width and height.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The rows from the top, `width * 3` bytes each.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.pixels.chunks_exact(self.width * 3)
    }
}

/// Whether `samples` values are an image of this size.
pub(crate) fn check_shape(
    width: usize,
    height: usize,
    channels: usize,
    samples: usize,
) -> Result<(), ShapeError> {
    if width == 0 || height == 0 {
        return Err(ShapeError::Empty { width, height });
    }
    if width.checked_mul(height).and_then(|n| n.checked_mul(channels)) != Some(samples) {
        return Err(ShapeError::WrongLength { width, height, channels, samples });
    }
    Ok(())
}

/// The part of `width` x `height` pixels whose upper left corner is at (`left`, `top`).
///
/// # Errors
/// [`ShapeError::Empty`] for a side of 0, [`ShapeError::OutOfBounds`] for a crop that leaves the image.
pub fn crop(
    image: &RgbImage,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
) -> Result<RgbImage, ShapeError> {
    if width == 0 || height == 0 {
        return Err(ShapeError::Empty { width, height });
    }
    let fits =
        |start: usize, length: usize, side: usize| start.checked_add(length).is_some_and(|end| end <= side);
    if !fits(left, width, image.width) || !fits(top, height, image.height) {
        return Err(ShapeError::OutOfBounds {
            left,
            top,
            crop_width: width,
            crop_height: height,
            width: image.width,
            height: image.height,
        });
    }
    let pixels = cut(&image.pixels, 3, image.width, &(left..left + width), &(top..top + height));
    Ok(RgbImage { width, height, pixels })
}

/// The values of the pixels at `columns` and `rows` of an image that is `width` pixels wide and has
/// `channels` values per pixel. Both ranges must lie in the image.
pub(crate) fn cut<T: Copy>(
    values: &[T],
    channels: usize,
    width: usize,
    columns: &Range<usize>,
    rows: &Range<usize>,
) -> Vec<T> {
    let mut part = Vec::with_capacity(columns.len() * rows.len() * channels);
    for row in values.chunks_exact(width * channels).skip(rows.start).take(rows.len()) {
        part.extend_from_slice(&row[columns.start * channels..columns.end * channels]);
    }
    part
}

/// The middle `width` x `height` pixels, as torchvision's `CenterCrop` cuts them: an odd remainder is
/// halved with ties to even, and where the image is smaller than the crop it is padded with black.
/// A side of 0 counts as 1.
pub fn center_crop(image: &RgbImage, width: usize, height: usize) -> RgbImage {
    let (width, height) = (width.max(1), height.max(1));
    let columns = CenteredSpan::new(image.width, width);
    let rows = CenteredSpan::new(image.height, height);
    let mut pixels = vec![0; width * height * 3];
    let targets = pixels.chunks_exact_mut(width * 3).skip(rows.padding);
    for (target, source) in targets.zip(image.rows().skip(rows.start).take(rows.length)) {
        let source = &source[columns.start * 3..][..columns.length * 3];
        target[columns.padding * 3..][..source.len()].copy_from_slice(source);
    }
    RgbImage { width, height, pixels }
}

/// Where the middle `crop` pixels of a side of `side` pixels lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CenteredSpan {
    /// First pixel that is taken.
    pub start: usize,
    /// Number of pixels taken.
    pub length: usize,
    /// Black pixels before them.
    pub padding: usize,
}

impl CenteredSpan {
    pub(crate) fn new(side: usize, crop: usize) -> Self {
        if side < crop {
            return Self { start: 0, length: side, padding: (crop - side) / 2 };
        }
        let remainder = side - crop;
        // Half of an odd remainder lies between two integers: Python's `round` takes the even one.
        let start = if remainder % 4 == 3 { remainder / 2 + 1 } else { remainder / 2 };
        Self { start, length: crop, padding: 0 }
    }

    /// The pixels that are taken.
    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.start + self.length
    }
}

/// The image mirrored left to right.
pub fn flip_horizontal(image: &RgbImage) -> RgbImage {
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for row in image.rows() {
        pixels.extend(row.as_chunks::<3>().0.iter().rev().flatten());
    }
    RgbImage { pixels, ..*image }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pixel tells its column and row.
    fn numbered(width: usize, height: usize) -> RgbImage {
        let pixel = |i: usize| [(i % width) as u8, (i / width) as u8, 7];
        RgbImage::new(width, height, (0..width * height).flat_map(pixel).collect()).unwrap()
    }

    #[test]
    fn buffers_must_fit_their_sides() {
        assert_eq!(RgbImage::new(0, 3, vec![]), Err(ShapeError::Empty { width: 0, height: 3 }));
        let wrong = RgbImage::new(2, 2, vec![0; 11]);
        assert_eq!(wrong, Err(ShapeError::WrongLength { width: 2, height: 2, channels: 3, samples: 11 }));
        assert!(matches!(RgbImage::new(usize::MAX, 2, vec![0; 6]), Err(ShapeError::WrongLength { .. })));
    }

    #[test]
    fn crop_takes_the_part_asked_for() {
        let part = crop(&numbered(5, 4), 2, 1, 2, 3).unwrap();
        assert_eq!((part.width, part.height), (2, 3));
        assert_eq!(part.pixels, [2, 1, 7, 3, 1, 7, 2, 2, 7, 3, 2, 7, 2, 3, 7, 3, 3, 7]);
    }

    #[test]
    fn crop_refuses_to_leave_the_image() {
        let image = numbered(5, 4);
        for (left, top, width, height) in [(4, 0, 2, 1), (0, 3, 1, 2), (usize::MAX, 0, 2, 1), (5, 0, 1, 1)] {
            assert!(matches!(crop(&image, left, top, width, height), Err(ShapeError::OutOfBounds { .. })));
        }
        assert!(matches!(crop(&image, 0, 0, 0, 1), Err(ShapeError::Empty { .. })));
    }

    #[test]
    fn odd_remainders_are_halved_to_even() {
        // Python: [round((side - 4) / 2) for side in range(4, 13)]
        let starts: Vec<usize> = (4..13).map(|side| CenteredSpan::new(side, 4).start).collect();
        assert_eq!(starts, [0, 0, 1, 2, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn center_crop_pads_small_images_with_black() {
        let image = center_crop(&numbered(1, 3), 4, 1);
        assert_eq!((image.width, image.height), (4, 1));
        assert_eq!(image.pixels, [0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_flip_reverses_each_row() {
        assert_eq!(flip_horizontal(&numbered(3, 1)).pixels, [2, 0, 7, 1, 0, 7, 0, 0, 7]);
    }
}
