//! Resizing of 16-bit grey, for which Pillow sums in floating point.

use super::Window;
use super::weights::AxisWeights;
use crate::rgb_image::cut;

/// The window of an image of `from` (width, height) pixels.
pub(crate) fn resize_gray16(values: &[u16], from: (usize, usize), window: &Window) -> Vec<u16> {
    if window.size == from {
        return cut(values, 1, from.0, &window.columns, &window.rows);
    }
    let mut horizontal = AxisWeights::new(from.0, window.size.0, window.columns.clone(), window.filter);
    let mut vertical = AxisWeights::new(from.1, window.size.1, window.rows.clone(), window.filter);
    let (columns, rows) = (horizontal.rebase(), vertical.rebase());
    let used = cut(values, 1, from.0, &columns, &rows);
    if window.order.columns_come_first(from, window.size) {
        along_rows(&along_columns(&used, columns.len(), &vertical), columns.len(), &horizontal)
    } else {
        along_columns(&along_rows(&used, columns.len(), &horizontal), window.columns.len(), &vertical)
    }
}

fn along_rows(values: &[u16], width: usize, weights: &AxisWeights<f64>) -> Vec<u16> {
    let sums = |row: &[u16]| {
        let sum = |(start, weights): (usize, &[f64])| weighted_sum(row[start..].iter(), weights);
        weights.iter().map(sum).collect::<Vec<u16>>()
    };
    values.chunks_exact(width).flat_map(sums).collect()
}

fn along_columns(values: &[u16], width: usize, weights: &AxisWeights<f64>) -> Vec<u16> {
    let sums = |(start, weights): (usize, &[f64])| {
        let sum = |column| weighted_sum(values[start * width + column..].iter().step_by(width), weights);
        (0..width).map(sum).collect::<Vec<u16>>()
    };
    weights.iter().flat_map(sums).collect()
}

/// The sum, rounded. Pillow clamps the two bytes of it one by one: beyond 65,535 the high byte stays
/// 255, while the low byte starts again.
fn weighted_sum<'a>(values: impl Iterator<Item = &'a u16>, weights: &[f64]) -> u16 {
    let sum: f64 = values.zip(weights).map(|(&value, weight)| f64::from(value) * weight).sum();
    // The cast saturates: a sum below 0 becomes 0.
    let rounded = (sum + 0.5) as u32;
    u16::from_be_bytes([(rounded >> 8).min(255) as u8, (rounded % 256) as u8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_rounded_and_their_bytes_clamped() {
        let sum = |value: u16, weight: f64| weighted_sum([value].iter(), &[weight]);
        assert_eq!(sum(301, 0.5), 151);
        assert_eq!(sum(300, -1.0), 0);
        assert_eq!(sum(65_535, 1.0), 65_535);
        assert_eq!(sum(32_770, 2.0), 0xff04);
    }
}
