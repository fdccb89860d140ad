//! Operations that mix an image with a poorer version of itself, or take it further away from that, as Pillow's
//! `ImageEnhance` does.

use super::levels::mapped;
use crate::RgbImage;

/// Pillow's `Image.blend` for one value: `poorer` for a factor of 0, `value` for 1, rounded towards 0.
fn blend(poorer: u8, value: u8, factor: f32) -> u8 {
    (f32::from(poorer) + factor * (f32::from(value) - f32::from(poorer))) as u8
}

/// Brightness of a colour (ITU-R 601-2), in the fixed point of Pillow's `convert("L")`.
fn luma(&[red, green, blue]: &[u8; 3]) -> u8 {
    ((19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue) + (1 << 15)) >> 16) as u8
}

pub(super) fn color(image: &RgbImage, factor: f32) -> RgbImage {
    let mut pixels = image.pixels.clone();
    for pixel in pixels.as_chunks_mut::<3>().0 {
        let grey = luma(pixel);
        *pixel = pixel.map(|value| blend(grey, value, factor));
    }
    RgbImage { pixels, ..*image }
}

pub(super) fn contrast(image: &RgbImage, factor: f32) -> RgbImage {
    let (pixels, _) = image.pixels.as_chunks::<3>();
    let sum: u64 = pixels.iter().map(|pixel| u64::from(luma(pixel))).sum();
    let mean = (sum as f64 / pixels.len() as f64 + 0.5) as u8;
    mapped(image, |value| blend(mean, value, factor))
}

pub(super) fn brightness(image: &RgbImage, factor: f32) -> RgbImage {
    mapped(image, |value| blend(0, value, factor))
}

pub(super) fn sharpness(image: &RgbImage, factor: f32) -> RgbImage {
    let mut pixels = smoothed(image);
    for (smooth, &value) in pixels.iter_mut().zip(&image.pixels) {
        *smooth = blend(*smooth, value, factor);
    }
    RgbImage { pixels, ..*image }
}

/// Pillow's filter `SMOOTH`: the mean of 3 x 3 pixels in which the middle counts five times. The border stays.
fn smoothed(image: &RgbImage) -> Vec<u8> {
    let stride = image.width * 3;
    let mut smooth = image.pixels.clone();
    for row in 1..image.height.saturating_sub(1) {
        let [above, here, below] = [row - 1, row, row + 1].map(|row| &image.pixels[row * stride..][..stride]);
        for at in 3..stride.saturating_sub(3) {
            let around =
                |line: &[u8]| [at - 3, at, at + 3].iter().map(|&at| u32::from(line[at])).sum::<u32>();
            let sum = around(above) + around(here) + around(below) + 4 * u32::from(here[at]);
            // Rounded; a sum of whole numbers over 13 never lies half-way.
            smooth[row * stride + at] = ((2 * sum + 13) / 26) as u8;
        }
    }
    smooth
}
