//! The two passes over the pixels. Both accumulate over many values side by side with one weight, so
//! that the compiler can use vector instructions: the pass along columns over a stretch of a row, the
//! pass along rows over a block of rows.

use super::weights::{AxisWeights, FRACTION_BITS};

/// Half a unit of the result: added first, so that the shift rounds.
const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// Rows that the pass along rows works on at once.
const BLOCK: usize = 8;

/// Bytes of a row that the pass along columns works on at once.
const STRETCH: usize = 64;

fn to_pixel(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// Replaces each row of `width` pixels by `weights.len()` weighted sums of its pixels.
pub(super) fn along_rows(pixels: &[u8], width: usize, weights: &AxisWeights) -> Vec<u8> {
    let out_stride = weights.len() * 3;
    let mut out = vec![0; pixels.len() / (width * 3) * out_stride];
    let mut block = vec![[0; BLOCK * 3]; width];
    for (rows, out_rows) in pixels.chunks(width * 3 * BLOCK).zip(out.chunks_mut(out_stride * BLOCK)) {
        for (slot, row) in rows.chunks_exact(width * 3).enumerate() {
            for (column, pixel) in block.iter_mut().zip(row.as_chunks::<3>().0) {
                column[slot * 3..slot * 3 + 3].copy_from_slice(pixel);
            }
        }
        for (x, (start, weights)) in weights.iter().enumerate() {
            let mut sums = [HALF; BLOCK * 3];
            for (column, &weight) in block[start..].iter().zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(column) {
                    *sum += i32::from(value) * weight;
                }
            }
            let sums = sums.map(to_pixel);
            for (out_row, pixel) in out_rows.chunks_exact_mut(out_stride).zip(sums.as_chunks::<3>().0) {
                out_row[x * 3..x * 3 + 3].copy_from_slice(pixel);
            }
        }
    }
    out
}

/// Replaces the rows (of `width` pixels) by `weights.len()` weighted sums of rows.
pub(super) fn along_columns(pixels: &[u8], width: usize, weights: &AxisWeights) -> Vec<u8> {
    let stride = width * 3;
    let mut out = vec![0; weights.len() * stride];
    for ((start, weights), out_row) in weights.iter().zip(out.chunks_exact_mut(stride)) {
        let rows = &pixels[start * stride..];
        for (index, out_stretch) in out_row.chunks_mut(STRETCH).enumerate() {
            let mut sums = [HALF; STRETCH];
            for (row, &weight) in rows.chunks_exact(stride).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(&row[index * STRETCH..]) {
                    *sum += i32::from(value) * weight;
                }
            }
            for (target, sum) in out_stretch.iter_mut().zip(sums) {
                *target = to_pixel(sum);
            }
        }
    }
    out
}
