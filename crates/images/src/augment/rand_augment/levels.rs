//! Operations that look every value of a channel up in a table, as Pillow's `ImageOps` does.

use crate::RgbImage;
use std::array::from_fn;

/// What each value of a channel becomes.
type Table = [u8; 256];

/// How often each value of a channel occurs.
type Histogram = [u64; 256];

/// The image with all channels mapped alike.
pub(super) fn mapped(image: &RgbImage, map: impl Fn(u8) -> u8) -> RgbImage {
    let table: Table = from_fn(|value| map(value as u8));
    RgbImage { pixels: image.pixels.iter().map(|&value| table[usize::from(value)]).collect(), ..*image }
}

/// The image with each channel mapped by the table that its histogram gives; `None` leaves a channel as it is.
fn mapped_by_histogram(image: &RgbImage, table: impl Fn(&Histogram) -> Option<Table>) -> RgbImage {
    let mut histograms = [[0; 256]; 3];
    for pixel in image.pixels.as_chunks::<3>().0 {
        for (histogram, &value) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(value)] += 1;
        }
    }
    let tables = histograms.map(|histogram| table(&histogram).unwrap_or(from_fn(|value| value as u8)));
    let mut pixels = image.pixels.clone();
    for pixel in pixels.as_chunks_mut::<3>().0 {
        for (value, table) in pixel.iter_mut().zip(&tables) {
            *value = table[usize::from(*value)];
        }
    }
    RgbImage { pixels, ..*image }
}

pub(super) fn auto_contrast(image: &RgbImage) -> RgbImage {
    mapped_by_histogram(image, |histogram| {
        let occurs = |count: &u64| *count > 0;
        let (low, high) = (histogram.iter().position(occurs)?, histogram.iter().rposition(occurs)?);
        if low == high {
            return None;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        // Rounded towards 0, and what lies outside of 0 to 255 becomes the nearest of them.
        Some(from_fn(|value| (value as f64 * scale + offset) as u8))
    })
}

pub(super) fn equalize(image: &RgbImage) -> RgbImage {
    mapped_by_histogram(image, |histogram| {
        let largest = histogram.iter().rposition(|&count| count > 0)?;
        let below_largest: u64 = histogram[..largest].iter().sum();
        let step = below_largest / 255;
        if step == 0 {
            return None;
        }
        let mut reached = step / 2;
        Some(from_fn(|value| {
            let level = (reached / step).min(255) as u8;
            reached += histogram[value];
            level
        }))
    })
}

pub(super) fn posterize(image: &RgbImage, bits: u32) -> RgbImage {
    let kept = 0xff_u8.checked_shl(8_u32.saturating_sub(bits)).unwrap_or(0);
    mapped(image, |value| value & kept)
}

pub(super) fn solarize(image: &RgbImage, threshold: f64) -> RgbImage {
    mapped(image, |value| if f64::from(value) < threshold { value } else { 255 - value })
}

/// The official code adds in `np.int`, a type that NumPy has removed; what it computed before is the same.
pub(super) fn solarize_add(image: &RgbImage, addition: f64) -> RgbImage {
    mapped(image, |value| {
        let sum = (f64::from(value) + addition) as u8;
        if sum < 128 { sum } else { 255 - sum }
    })
}
