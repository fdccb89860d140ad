//! Random brightness, contrast, saturation and hue: without it, two parts of one image are told by their colours.

use super::grayscale::{grayscale, luminance};
use super::hue;
use crate::RgbImage;
use crate::random::Stream;

/// Changes brightness, contrast, saturation and hue by random amounts, in random order (torchvision's
/// `ColorJitter`). A range of one value that changes nothing, (1, 1) or for the hue (0, 0), leaves that change out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColorJitter {
    /// Smallest and largest factor of the brightness.
    pub brightness: (f64, f64),
    /// Smallest and largest factor of the contrast.
    pub contrast: (f64, f64),
    /// Smallest and largest factor of the saturation.
    pub saturation: (f64, f64),
    /// Smallest and largest turn of the hue, as a share of the colour circle; within (-0.5, 0.5).
    pub hue: (f64, f64),
}

/// One change of colours, as PIL's `ImageEnhance` and torchvision's `adjust_hue` make it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ColorAdjustment {
    /// Away from black by this factor.
    Brightness(f64),
    /// Away from the mean grey of the image by this factor.
    Contrast(f64),
    /// Away from the grey of each pixel by this factor.
    Saturation(f64),
    /// A turn of the hue, as a share of the colour circle.
    Hue(f64),
}

impl ColorJitter {
    /// Factors within 1 ± the given amounts, but not below 0, and turns of the hue within ± `hue`: the four numbers
    /// that torchvision's `ColorJitter` is usually given.
    pub fn around(brightness: f64, contrast: f64, saturation: f64, hue: f64) -> Self {
        let factor = |amount: f64| ((1.0 - amount).max(0.0), 1.0 + amount);
        Self {
            brightness: factor(brightness),
            contrast: factor(contrast),
            saturation: factor(saturation),
            hue: (-hue, hue),
        }
    }

    /// The changed image.
    pub fn apply(&self, image: &RgbImage, stream: &mut Stream) -> RgbImage {
        self.draw(stream).into_iter().fold(image.clone(), |image, adjustment| adjustment.apply(&image))
    }

    /// What is changed by how much, in the order in which it is done (torchvision's `get_params`): the order first,
    /// then each amount, uniform within its range.
    pub fn draw(&self, stream: &mut Stream) -> Vec<ColorAdjustment> {
        let order = stream.permutation(4);
        let mut amount =
            |range: (f64, f64), none: f64| (range != (none, none)).then(|| stream.range(range.0, range.1));
        let drawn = [
            amount(self.brightness, 1.0).map(ColorAdjustment::Brightness),
            amount(self.contrast, 1.0).map(ColorAdjustment::Contrast),
            amount(self.saturation, 1.0).map(ColorAdjustment::Saturation),
            amount(self.hue, 0.0).map(ColorAdjustment::Hue),
        ];
        order.into_iter().filter_map(|index| drawn[index]).collect()
    }
}

impl ColorAdjustment {
    /// The changed image.
    pub fn apply(self, image: &RgbImage) -> RgbImage {
        match self {
            Self::Brightness(factor) => per_pixel(image, |pixel| away_from([0; 3], pixel, factor)),
            Self::Contrast(factor) => {
                let mean = [mean_grey(image); 3];
                per_pixel(image, |pixel| away_from(mean, pixel, factor))
            }
            Self::Saturation(factor) => {
                let grey = grayscale(image);
                let pairs = grey.pixels.as_chunks::<3>().0.iter().zip(image.pixels.as_chunks::<3>().0);
                let pixels = pairs.flat_map(|(&grey, &pixel)| away_from(grey, pixel, factor)).collect();
                RgbImage { pixels, ..*image }
            }
            Self::Hue(turn) => {
                // Cut to a whole number, which then wraps around the circle.
                let turn = (turn * 255.0) as i32 as u8;
                per_pixel(image, |pixel| hue::turned(pixel, turn))
            }
        }
    }
}

fn per_pixel(image: &RgbImage, change: impl Fn([u8; 3]) -> [u8; 3]) -> RgbImage {
    let pixels = image.pixels.as_chunks::<3>().0.iter();
    RgbImage { pixels: pixels.flat_map(|&pixel| change(pixel)).collect(), ..*image }
}

/// The mean luminance, rounded.
fn mean_grey(image: &RgbImage) -> u8 {
    let pixels = image.pixels.as_chunks::<3>().0;
    let sum: u64 = pixels.iter().map(|&pixel| u64::from(luminance(pixel))).sum();
    (sum as f64 / pixels.len().max(1) as f64 + 0.5) as u8
}

/// `origin + factor (pixel - origin)`, cut to whole levels of 0 to 255 (PIL's `Image.blend`).
fn away_from(origin: [u8; 3], pixel: [u8; 3], factor: f64) -> [u8; 3] {
    std::array::from_fn(|channel| {
        let (from, to) = (f32::from(origin[channel]), f32::from(pixel[channel]));
        (from + factor as f32 * (to - from)) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(index: u64) -> Stream {
        Stream::new(3, "jitter", 0, index)
    }

    #[test]
    fn the_usual_four_numbers_are_ranges() {
        let jitter = ColorJitter::around(0.4, 1.5, 0.0, 0.1);
        assert_eq!((jitter.brightness, jitter.contrast), ((0.6, 1.4), (0.0, 2.5)));
        assert_eq!((jitter.saturation, jitter.hue), ((1.0, 1.0), (-0.1, 0.1)));
    }

    #[test]
    fn amounts_fill_their_ranges_in_every_order() {
        let jitter = ColorJitter::around(0.4, 0.4, 0.4, 0.1);
        let drawn: Vec<Vec<ColorAdjustment>> =
            (0..2_000).map(|index| jitter.draw(&mut stream(index))).collect();
        assert!(drawn.iter().all(|adjustments| adjustments.len() == 4));
        let firsts = drawn.iter().filter(|adjustments| matches!(adjustments[0], ColorAdjustment::Hue(_)));
        assert!((420..580).contains(&firsts.count()));
        let factors = drawn.iter().flatten().filter_map(|adjustment| match adjustment {
            ColorAdjustment::Contrast(factor) => Some(*factor),
            _ => None,
        });
        let (low, high) = factors.fold((f64::MAX, f64::MIN), |(low, high), f| (low.min(f), high.max(f)));
        assert!((0.6..0.605).contains(&low) && (1.395..1.4).contains(&high));
    }

    #[test]
    fn nothing_to_change_changes_nothing() {
        let image = RgbImage::new(2, 1, vec![1, 200, 30, 90, 90, 255]).unwrap();
        let none = ColorJitter::around(0.0, 0.0, 0.0, 0.0);
        assert!(none.draw(&mut stream(0)).is_empty());
        assert_eq!(none.apply(&image, &mut stream(0)), image);
    }

    #[test]
    fn adjustments_are_made_one_after_the_other() {
        let image = RgbImage::new(2, 1, vec![100, 40, 0, 20, 20, 20]).unwrap();
        let brighter = ColorAdjustment::Brightness(2.0).apply(&image);
        assert_eq!(brighter.pixels, [200, 80, 0, 40, 40, 40]);
        // Luminances 107 and 40, whose mean of 73.5 becomes 74.
        let flatter = ColorAdjustment::Contrast(0.5).apply(&brighter);
        assert_eq!(flatter.pixels, [137, 77, 37, 57, 57, 57]);
    }

    #[test]
    fn absurd_amounts_do_not_panic() {
        let image = RgbImage::new(1, 1, vec![9, 90, 250]).unwrap();
        for amount in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            ColorJitter::around(amount, amount, amount, amount).apply(&image, &mut stream(0));
        }
    }
}
