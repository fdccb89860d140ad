//! A random part of an image, brought to a fixed size: the one augmentation that nearly every training of image
//! models shares (Szegedy et al. 2015, section 6).

use crate::random::Stream;
use crate::resize::{Window, resize_part};
use crate::{Filter, PassOrder, RgbImage};

/// Cuts out a part of random area and shape at a random place and resizes it to a square (torchvision's
/// `RandomResizedCrop`).
///
/// No settings make it panic. Those that no part of an image fulfils give the middle of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomResizedCrop {
    /// Smallest and largest area of the part, as a share of the image's; torchvision's default is (0.08, 1).
    pub scale: (f64, f64),
    /// Smallest and largest width of the part over its height; torchvision's default is (3/4, 4/3).
    pub ratio: (f64, f64),
    /// Side of the result in pixels; 0 counts as 1.
    pub side: usize,
    /// Filter of the resize.
    pub filter: Filter,
}

/// A part of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CropBox {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
}

/// How often a part that does not fit is drawn anew.
const TRIES: usize = 10;

impl RandomResizedCrop {
    /// The changed image, `side` x `side` pixels.
    pub fn apply(&self, image: &RgbImage, stream: &mut Stream) -> RgbImage {
        let CropBox { left, top, width, height } = self.draw(image.width, image.height, stream);
        let side = self.side.max(1);
        let window = Window {
            size: (side, side),
            columns: 0..side,
            rows: 0..side,
            filter: self.filter,
            order: PassOrder::default(),
        };
        let pixels = &image.pixels[(top * image.width + left) * 3..];
        let pixels = resize_part::<3>(pixels, image.width, (width, height), &window);
        RgbImage { width: side, height: side, pixels }
    }

    /// The part of an image of `width` x `height` pixels that is kept (torchvision's `get_params`): an area that is
    /// uniform within `scale` and a shape that is log-uniform within `ratio`, drawn again up to ten times if the
    /// part does not fit; then the middle, with the nearest shape within `ratio`.
    pub fn draw(&self, width: usize, height: usize, stream: &mut Stream) -> CropBox {
        let area = width as f64 * height as f64;
        let (low, high) = (libm::log(self.ratio.0), libm::log(self.ratio.1));
        for _ in 0..TRIES {
            let target = area * stream.range(self.scale.0, self.scale.1);
            let ratio = libm::exp(stream.range(low, high));
            let (part_width, part_height) =
                (rounded(libm::sqrt(target * ratio)), rounded(libm::sqrt(target / ratio)));
            if (1..=width).contains(&part_width) && (1..=height).contains(&part_height) {
                let top = stream.below(height - part_height + 1);
                let left = stream.below(width - part_width + 1);
                return CropBox { left, top, width: part_width, height: part_height };
            }
        }
        self.middle(width, height)
    }

    fn middle(&self, width: usize, height: usize) -> CropBox {
        let (narrowest, widest) = (self.ratio.0.min(self.ratio.1), self.ratio.0.max(self.ratio.1));
        let ratio = width as f64 / height as f64;
        let (mut part_width, mut part_height) = (width, height);
        if ratio < narrowest {
            part_height = rounded(width as f64 / narrowest).clamp(1, height.max(1));
        } else if ratio > widest {
            part_width = rounded(height as f64 * widest).clamp(1, width.max(1));
        }
        CropBox {
            left: (width - part_width) / 2,
            top: (height - part_height) / 2,
            width: part_width,
            height: part_height,
        }
    }
}

/// As Python rounds: a half to the even neighbour. What is not a number, or below 0, becomes 0.
fn rounded(value: f64) -> usize {
    value.round_ties_even() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resize;

    const DEFAULT: RandomResizedCrop = RandomResizedCrop {
        scale: (0.08, 1.0),
        ratio: (3.0 / 4.0, 4.0 / 3.0),
        side: 32,
        filter: Filter::Bilinear,
    };

    fn drawn(crop: RandomResizedCrop, width: usize, height: usize, count: u64) -> Vec<CropBox> {
        let stream = |index| Stream::new(1, "crop", 0, index);
        (0..count).map(|index| crop.draw(width, height, &mut stream(index))).collect()
    }

    #[test]
    fn areas_shapes_and_places_are_those_of_torchvision() {
        let boxes = drawn(DEFAULT, 200, 200, 4_000);
        let share = |holds: &dyn Fn(&CropBox) -> bool| {
            boxes.iter().filter(|part| holds(part)).count() as f64 / boxes.len() as f64
        };
        let area = |part: &CropBox| (part.width * part.height) as f64 / 40_000.0;
        assert!(boxes.iter().all(|part| (0.075..=1.0).contains(&area(part))));
        assert!(boxes.iter().all(|part| part.left + part.width <= 200 && part.top + part.height <= 200));
        // Of 200,000 parts that torchvision draws, these shares lie below half the area and are wider than high.
        assert!((share(&|part| area(part) < 0.5) - 0.528).abs() < 0.03);
        assert!((share(&|part| part.width > part.height) - 0.493).abs() < 0.03);
        let free: Vec<&CropBox> = boxes.iter().filter(|part| part.width < 100).collect();
        let place = |part: &&CropBox| part.left as f64 / (200 - part.width) as f64;
        assert!((free.iter().map(place).sum::<f64>() / free.len() as f64 - 0.5).abs() < 0.03);
    }

    #[test]
    fn an_image_of_another_shape_than_every_part_gives_its_middle() {
        let whole = RandomResizedCrop { scale: (1.0, 1.0), ..DEFAULT };
        // torchvision.transforms.RandomResizedCrop.get_params on images of 300 x 100 and 100 x 300 pixels.
        let wide = CropBox { left: 83, top: 0, width: 133, height: 100 };
        assert_eq!(drawn(whole, 300, 100, 1), [wide]);
        let high = CropBox { left: 0, top: 83, width: 100, height: 133 };
        assert_eq!(drawn(whole, 100, 300, 1), [high]);
    }

    #[test]
    fn the_whole_image_is_only_resized() {
        let crop = RandomResizedCrop { scale: (1.0, 1.0), ratio: (1.0, 1.0), side: 5, ..DEFAULT };
        let image = RgbImage::new(8, 8, (0..192).collect()).unwrap();
        let changed = crop.apply(&image, &mut Stream::new(1, "crop", 0, 0));
        assert_eq!(changed, resize(&image, 5, 5, Filter::Bilinear));
    }

    #[test]
    fn absurd_settings_do_not_panic() {
        let values = [f64::NAN, f64::NEG_INFINITY, -1.0, 0.0, 1e-300, 1e300, f64::INFINITY];
        let image = RgbImage::new(3, 2, vec![7; 18]).unwrap();
        for (a, b) in values.iter().flat_map(|a| values.map(|b| (*a, b))) {
            let crop = RandomResizedCrop { scale: (a, b), ratio: (b, a), side: 0, filter: Filter::Bicubic };
            let changed = crop.apply(&image, &mut Stream::new(1, "crop", 0, 0));
            assert_eq!(changed, RgbImage::new(1, 1, vec![7; 3]).unwrap());
        }
    }
}
