//! The two passes over the pixels. Both accumulate over many values side by side with one weight, so
//! that the compiler can use vector instructions: the pass along columns over a stretch of a row, the
//! pass along rows over a block of rows.

use super::weights::{AxisWeights, FRACTION_BITS};
use std::ops::Range;

/// Half a unit of the result: added first, so that the shift rounds.
const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// Bytes that the pass along rows works on at once: 8 rows of RGB, 6 rows of four channels.
const BLOCK: usize = 24;

/// Bytes of a row that the pass along columns works on at once.
const STRETCH: usize = 64;

/// The part of an image that is resized, where it lies: copying it would take a tenth of the time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// Rows of `stride` bytes, from the first byte of the part.
    bytes: &'a [u8],
    stride: usize,
    /// Bytes per row of the part.
    width: usize,
    height: usize,
}

impl<'a> Part<'a> {
    /// The part at `columns` and `rows` of an image whose rows are `stride` bytes and whose pixels are
    /// `channels` bytes.
    pub fn new(
        bytes: &'a [u8],
        stride: usize,
        channels: usize,
        columns: &Range<usize>,
        rows: &Range<usize>,
    ) -> Self {
        let bytes = &bytes[rows.start * stride + columns.start * channels..];
        Self { bytes, stride, width: columns.len() * channels, height: rows.len() }
    }

    /// All of an image whose rows are `stride` bytes.
    pub fn whole(bytes: &'a [u8], stride: usize) -> Self {
        Self { bytes, stride, width: stride, height: bytes.len() / stride }
    }

    fn row(self, index: usize) -> &'a [u8] {
        &self.bytes[index * self.stride..][..self.width]
    }
}

fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// Adds each value, times the weight, to its sum. The sums stay below `1 << 31`, since the weights of a
/// pixel add up to 1; "wrapping" keeps the checks of debug builds, which forbid vectors, out of the loop.
fn accumulate(sums: &mut [i32], values: &[u8], weight: i32) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
    }
}

/// Replaces each row of pixels (of `CHANNELS` bytes) by `weights.len()` weighted sums of its pixels.
pub(super) fn along_rows<const CHANNELS: usize>(part: Part, weights: &AxisWeights<i32>) -> Vec<u8> {
    let out_stride = weights.len() * CHANNELS;
    let mut out = vec![0; part.height * out_stride];
    let rows_at_once = BLOCK / CHANNELS;
    let mut block = vec![[0; BLOCK]; part.width / CHANNELS];
    for (index, out_rows) in out.chunks_mut(out_stride * rows_at_once).enumerate() {
        let first = index * rows_at_once;
        for slot in 0..rows_at_once.min(part.height - first) {
            for (column, pixel) in block.iter_mut().zip(part.row(first + slot).as_chunks::<CHANNELS>().0) {
                column[slot * CHANNELS..][..CHANNELS].copy_from_slice(pixel);
            }
        }
        for (x, (start, weights)) in weights.iter().enumerate() {
            let mut sums = [HALF; BLOCK];
            for (column, &weight) in block[start..].iter().zip(weights) {
                accumulate(&mut sums, column, weight);
            }
            let sums = sums.map(to_byte);
            for (out_row, pixel) in out_rows.chunks_exact_mut(out_stride).zip(sums.as_chunks::<CHANNELS>().0)
            {
                out_row[x * CHANNELS..][..CHANNELS].copy_from_slice(pixel);
            }
        }
    }
    out
}

/// Replaces the rows by `weights.len()` weighted sums of rows.
pub(super) fn along_columns(part: Part, weights: &AxisWeights<i32>) -> Vec<u8> {
    let mut out = vec![0; weights.len() * part.width];
    for ((start, weights), out_row) in weights.iter().zip(out.chunks_exact_mut(part.width)) {
        for (index, out_stretch) in out_row.chunks_mut(STRETCH).enumerate() {
            let mut sums = [HALF; STRETCH];
            for (row, &weight) in weights.iter().enumerate() {
                accumulate(&mut sums, &part.row(start + row)[index * STRETCH..], weight);
            }
            for (target, sum) in out_stretch.iter_mut().zip(sums) {
                *target = to_byte(sum);
            }
        }
    }
    out
}
