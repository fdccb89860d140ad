//! Resizing without mixing pixels. Pillow resizes palette and 1-bit images like this, whatever filter
//! it is asked for.

use super::Window;
use std::ops::Range;

/// Output pixels along one axis up to which positions are summed step by step, as Pillow does it: that
/// shows where a position falls on the border of two pixels. Beyond it, the sum would take too long.
const SUMMED: usize = 1 << 20;

/// The window of an RGB image of `from` (width, height) pixels.
pub(crate) fn resize_nearest(pixels: &[u8], from: (usize, usize), window: &Window) -> Vec<u8> {
    let columns = nearest(from.0, window.size.0, window.columns.clone());
    let rows = nearest(from.1, window.size.1, window.rows.clone());
    let (pixels, _) = pixels.as_chunks::<3>();
    let mut out = Vec::with_capacity(columns.len() * rows.len());
    for row in rows {
        let row = &pixels[row * from.0..][..from.0];
        out.extend(columns.iter().map(|&column| row[column]));
    }
    out.into_flattened()
}

/// The input pixel under the centre of each output pixel in `window`, when `from` pixels become `to`.
fn nearest(from: usize, to: usize, window: Range<usize>) -> Vec<usize> {
    let step = from as f64 / to as f64;
    let mut center = 0.5 * step;
    let mut next = || {
        let pixel = (center as usize).min(from - 1);
        center += step;
        pixel
    };
    if window.end <= SUMMED {
        (0..window.end).map(|_| next()).skip(window.start).collect()
    } else {
        window.map(|pixel| (((pixel as f64 + 0.5) * step) as usize).min(from - 1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pixel_under_the_centre_is_taken() {
        assert_eq!(nearest(4, 2, 0..2), [1, 3]);
        assert_eq!(nearest(2, 4, 0..4), [0, 0, 1, 1]);
        assert_eq!(nearest(7, 5, 1..4), [2, 3, 4]);
    }

    #[test]
    fn long_sides_are_not_summed() {
        let side = 1 << 40;
        assert_eq!(nearest(4, side, side - 2..side), [3, 3]);
    }
}
