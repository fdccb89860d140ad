//! Resizing that equals Pillow's to the last bit, because the published models were trained and
//! measured on Pillow's pixels. Pillow works in fixed point: the weights of an output pixel are
//! rounded to 22 fractional bits, and each of the two passes (along rows, along columns) rounds and
//! clamps its result to 8 bits.

mod gray16;
mod nearest;
mod passes;
mod weights;

pub(crate) use gray16::resize_gray16;
pub(crate) use nearest::resize_nearest;

use crate::RgbImage;
use passes::{Part, along_columns, along_rows};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use weights::AxisWeights;

/// How an output pixel weighs the input pixels around it. Both filters widen when an image shrinks,
/// so that every input pixel counts (antialiasing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Cubic convolution with `a = -0.5` (Keys, 1981) over 4 x 4 pixels; what CLIP uses.
    Bicubic,
    /// A triangle over 2 x 2 pixels; what torchvision uses by default.
    Bilinear,
}

/// Which of the two passes comes first. Since each of them rounds, the order shows: usually by one
/// level, at hard edges by a few.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PassOrder {
    /// Along rows first, except for images that lose far more rows than columns, as Pillow 13 has it.
    #[default]
    Pillow13,
    /// Always along rows first, as in Pillow up to version 12.
    Classic,
}

impl PassOrder {
    /// Whether the pass along columns precedes the pass along rows, for sizes (width, height).
    fn columns_come_first(self, from: (usize, usize), to: (usize, usize)) -> bool {
        let lost = |from: usize, to: usize| from as i64 - to as i64;
        self == Self::Pillow13 && to.1 < from.1 && lost(from.1, to.1) > 2 * lost(from.0, to.0)
    }
}

/// The image stretched to `width` x `height` pixels, as Pillow 13's `Image.resize` does it in RGB mode.
/// A side of 0 counts as 1. The result takes `width * height * 3` bytes.
pub fn resize(image: &RgbImage, width: usize, height: usize, filter: Filter) -> RgbImage {
    resize_in_order(image, width, height, filter, PassOrder::default())
}

/// [`resize`] with the passes in the order of another version of Pillow.
pub fn resize_in_order(
    image: &RgbImage,
    width: usize,
    height: usize,
    filter: Filter,
    order: PassOrder,
) -> RgbImage {
    let (width, height) = (width.max(1), height.max(1));
    let window = Window { size: (width, height), columns: 0..width, rows: 0..height, filter, order };
    RgbImage { width, height, pixels: resize_bytes::<3>(&image.pixels, image.size(), &window) }
}

/// A part of a resized image. Only that part is computed: the long side of a thin image can be a
/// million pixels.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// Width and height of the whole resized image.
    pub size: (usize, usize),
    /// The columns of it that are wanted, at least one.
    pub columns: Range<usize>,
    /// The rows of it that are wanted, at least one.
    pub rows: Range<usize>,
    /// How pixels are weighed.
    pub filter: Filter,
    /// Which pass comes first.
    pub order: PassOrder,
}

/// The window of an image of `from` (width, height) pixels with `CHANNELS` bytes each.
pub(crate) fn resize_bytes<const CHANNELS: usize>(
    pixels: &[u8],
    from: (usize, usize),
    window: &Window,
) -> Vec<u8> {
    resize_part::<CHANNELS>(pixels, from.0, from, window)
}

/// [`resize_bytes`] of a part of `from` pixels, where it lies: it starts with the first of `pixels`, in an image that
/// is `width` pixels wide.
pub(crate) fn resize_part<const CHANNELS: usize>(
    pixels: &[u8],
    width: usize,
    from: (usize, usize),
    window: &Window,
) -> Vec<u8> {
    let stride = width * CHANNELS;
    if window.size == from {
        return Part::new(pixels, stride, CHANNELS, &window.columns, &window.rows).to_vec();
    }
    let mut horizontal = AxisWeights::new(from.0, window.size.0, window.columns.clone(), window.filter);
    let mut vertical = AxisWeights::new(from.1, window.size.1, window.rows.clone(), window.filter);
    let (used_columns, used_rows) = (horizontal.rebase(), vertical.rebase());
    let (horizontal, vertical) = (horizontal.fixed_point(), vertical.fixed_point());
    let used = Part::new(pixels, stride, CHANNELS, &used_columns, &used_rows);
    if window.order.columns_come_first(from, window.size) {
        let between = along_columns(used, &vertical);
        along_rows::<CHANNELS>(Part::whole(&between, used_columns.len() * CHANNELS), &horizontal)
    } else {
        let between = along_rows::<CHANNELS>(used, &horizontal);
        along_columns(Part::whole(&between, window.columns.len() * CHANNELS), &vertical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crop;
    use crate::random::Stream;

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        let mut stream = Stream::new(1, "resize window", 0, 0);
        for _ in 0..200 {
            let [from_width, from_height, width, height] = [(); 4].map(|()| 1 + stream.below(40));
            let pixels = (0..from_width * from_height * 3).map(|_| stream.below(256) as u8).collect();
            let image = RgbImage::new(from_width, from_height, pixels).unwrap();
            let (left, top) = (stream.below(width), stream.below(height));
            let (right, bottom) =
                (left + 1 + stream.below(width - left), top + 1 + stream.below(height - top));
            let window = Window {
                size: (width, height),
                columns: left..right,
                rows: top..bottom,
                filter: Filter::Bicubic,
                order: PassOrder::Pillow13,
            };
            let part = resize_bytes::<3>(&image.pixels, image.size(), &window);
            let whole = resize(&image, width, height, Filter::Bicubic);
            assert_eq!(part, crop(&whole, left, top, right - left, bottom - top).unwrap().pixels);
        }
    }

    #[test]
    fn sides_of_zero_count_as_one() {
        let image = RgbImage::new(2, 2, vec![9; 12]).unwrap();
        assert_eq!(resize(&image, 0, 0, Filter::Bilinear), RgbImage::new(1, 1, vec![9; 3]).unwrap());
    }
}
