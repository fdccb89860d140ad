//! A small random shift, the usual augmentation of CIFAR: its images are too small to cut parts out of.

use crate::RgbImage;
use crate::random::Stream;
use serde::{Deserialize, Serialize};

/// Shifts an image by up to `padding` pixels in each direction; what comes in from outside is black. That is
/// torchvision's `RandomCrop` with the image's own size and `padding`: `RandomCrop(32, padding=4)` for CIFAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaddedCrop {
    /// Black pixels that are thought around the image before a part of its size is cut out (default 4).
    pub padding: usize,
}

impl Default for PaddedCrop {
    fn default() -> Self {
        Self { padding: 4 }
    }
}

impl PaddedCrop {
    /// The shifted image, as large as `image`. Every place of the crop in the padded image is equally probable; the
    /// row is drawn first.
    pub fn apply(&self, image: &RgbImage, stream: &mut Stream) -> RgbImage {
        let places = self.padding.saturating_mul(2).saturating_add(1);
        let top = stream.below(places);
        let left = stream.below(places);
        let rows = Overlap::new(top, self.padding, image.height);
        let columns = Overlap::new(left, self.padding, image.width);
        let mut pixels = vec![0; image.pixels.len()];
        let targets = pixels.chunks_exact_mut(image.width * 3).skip(rows.to);
        for (target, source) in targets.zip(image.rows().skip(rows.from)).take(rows.length) {
            target[columns.to * 3..][..columns.length * 3]
                .copy_from_slice(&source[columns.from * 3..][..columns.length * 3]);
        }
        RgbImage { pixels, ..*image }
    }
}

/// Which pixels of one side the crop shares with the image.
struct Overlap {
    /// The first of them in the image.
    from: usize,
    /// The first of them in the crop.
    to: usize,
    length: usize,
}

impl Overlap {
    /// For a crop that starts at `start` of a side of `side` pixels with `padding` in front of it.
    fn new(start: usize, padding: usize, side: usize) -> Self {
        let from = start.saturating_sub(padding).min(side);
        let to = padding.saturating_sub(start).min(side);
        Self { from, to, length: side - from.max(to) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{center_crop, crop};
    use std::collections::HashSet;

    fn numbered(width: usize, height: usize) -> RgbImage {
        RgbImage::new(width, height, (0..width * height * 3).map(|value| value as u8 | 1).collect()).unwrap()
    }

    /// The definition: pad, then cut out.
    fn by_padding(image: &RgbImage, padding: usize, top: usize, left: usize) -> RgbImage {
        let padded = center_crop(image, image.width + 2 * padding, image.height + 2 * padding);
        crop(&padded, left, top, image.width, image.height).unwrap()
    }

    #[test]
    fn every_shift_is_a_crop_of_the_padded_image_and_all_occur() {
        for (width, height, padding) in [(5, 4, 2), (1, 1, 1), (2, 3, 4), (3, 3, 0)] {
            let image = numbered(width, height);
            let all: HashSet<Vec<u8>> = (0..=2 * padding)
                .flat_map(|top| (0..=2 * padding).map(move |left| (top, left)))
                .map(|(top, left)| by_padding(&image, padding, top, left).pixels)
                .collect();
            let found: HashSet<Vec<u8>> = (0..2_000)
                .map(|index| {
                    PaddedCrop { padding }.apply(&image, &mut Stream::new(1, "shift", 0, index)).pixels
                })
                .collect();
            assert_eq!(found, all, "{width} x {height}, padding {padding}");
        }
    }

    #[test]
    fn a_padding_beyond_any_image_gives_black() {
        let image = numbered(3, 2);
        let shifted = PaddedCrop { padding: usize::MAX }.apply(&image, &mut Stream::new(1, "shift", 0, 0));
        assert_eq!(shifted, RgbImage::new(3, 2, vec![0; 18]).unwrap());
    }
}
