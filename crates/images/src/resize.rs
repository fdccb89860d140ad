//! Resizing that equals Pillow's to the last bit, because the published models were trained and
//! measured on Pillow's pixels. Pillow works in fixed point: the weights of an output pixel are
//! rounded to 22 fractional bits, and each of the two passes (along rows, along columns) rounds and
//! clamps its result to 8 bits.

mod passes;
mod weights;

use crate::{RgbImage, crop};
use passes::{along_columns, along_rows};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
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

/// The image stretched to `width` x `height` pixels, as Pillow 13's `Image.resize` does it in RGB mode.
/// A side of 0 counts as 1. The result takes `width * height * 3` bytes.
pub fn resize(image: &RgbImage, width: usize, height: usize, filter: Filter) -> RgbImage {
    let (width, height) = (width.max(1), height.max(1));
    resize_window(image, (width, height), 0..width, 0..height, filter)
}

/// The part at `columns` and `rows` (neither empty) of the image resized to `size` (width, height).
/// Only that part is computed: the long side of a thin image can be a million pixels.
pub(crate) fn resize_window(
    image: &RgbImage,
    size: (usize, usize),
    columns: Range<usize>,
    rows: Range<usize>,
    filter: Filter,
) -> RgbImage {
    let (width, height) = (columns.len(), rows.len());
    if size == (image.width, image.height)
        && let Ok(part) = crop(image, columns.start, rows.start, width, height)
    {
        return part;
    }
    let mut horizontal = AxisWeights::new(image.width, size.0, columns, filter);
    let mut vertical = AxisWeights::new(image.height, size.1, rows, filter);
    let (used_columns, used_rows) = (horizontal.rebase(), vertical.rebase());
    let (used_width, used_height) = (used_columns.len(), used_rows.len());
    let used = match crop(image, used_columns.start, used_rows.start, used_width, used_height) {
        Ok(part) if (used_width, used_height) != (image.width, image.height) => Cow::Owned(part.pixels),
        _ => Cow::Borrowed(&image.pixels),
    };
    let pixels = if columns_come_first((image.width, image.height), size) {
        along_rows(&along_columns(&used, used_width, &vertical), used_width, &horizontal)
    } else {
        along_columns(&along_rows(&used, used_width, &horizontal), width, &vertical)
    };
    RgbImage { width, height, pixels }
}

/// Whether the pass along columns precedes the pass along rows. Since each pass rounds, the order
/// shows in the last bit. Pillow takes rows first; version 13 made an exception for images that lose
/// far more rows than columns.
fn columns_come_first(from: (usize, usize), to: (usize, usize)) -> bool {
    let lost = |from: usize, to: usize| from as i64 - to as i64;
    to.1 < from.1 && lost(from.1, to.1) > 2 * lost(from.0, to.0)
}

#[cfg(test)]
mod tests {
    use super::*;
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
            let window = resize_window(&image, (width, height), left..right, top..bottom, Filter::Bicubic);
            let whole = resize(&image, width, height, Filter::Bicubic);
            assert_eq!(window, crop(&whole, left, top, right - left, bottom - top).unwrap());
        }
    }

    #[test]
    fn sides_of_zero_count_as_one() {
        let image = RgbImage::new(2, 2, vec![9; 12]).unwrap();
        assert_eq!(resize(&image, 0, 0, Filter::Bilinear), RgbImage::new(1, 1, vec![9; 3]).unwrap());
    }
}
