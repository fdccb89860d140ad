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

    /// The bytes of the part without those between its rows.
    pub fn to_vec(self) -> Vec<u8> {
        (0..self.height).flat_map(|index| self.row(index)).copied().collect()
    }
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// Adds each value, times the weight, to its sum. The sums stay below `1 << 31`, since the weights of a
/// pixel add up to 1; "wrapping" keeps the checks of debug builds, which forbid vectors, out of the loop.
#[inline(always)]
fn accumulate(sums: &mut [i32], values: &[u8], weight: i32) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum = sum.wrapping_add(i32::from(value).wrapping_mul(weight));
    }
}

/// Replaces each row of pixels (of `CHANNELS` bytes) by `weights.len()` weighted sums of its pixels.
pub(super) fn along_rows<const CHANNELS: usize>(part: Part, weights: &AxisWeights<i32>) -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the instructions that the function was compiled for.
        #[allow(unsafe_code)]
        return unsafe { avx2::along_rows::<CHANNELS>(part, weights) };
    }
    each_row::<CHANNELS>(part, weights)
}

/// Replaces the rows by `weights.len()` weighted sums of rows.
pub(super) fn along_columns(part: Part, weights: &AxisWeights<i32>) -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the instructions that the function was compiled for.
        #[allow(unsafe_code)]
        return unsafe { avx2::along_columns(part, weights) };
    }
    each_column(part, weights)
}

/// The same loops, compiled for AVX2. The baseline of x86-64 cannot multiply 32-bit integers side by side. Integers
/// do not round, so the results are the same.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{AxisWeights, Part, each_column, each_row};

    #[target_feature(enable = "avx2")]
    pub fn along_rows<const CHANNELS: usize>(part: Part, weights: &AxisWeights<i32>) -> Vec<u8> {
        each_row::<CHANNELS>(part, weights)
    }

    #[target_feature(enable = "avx2")]
    pub fn along_columns(part: Part, weights: &AxisWeights<i32>) -> Vec<u8> {
        each_column(part, weights)
    }
}

#[inline(always)]
fn each_row<const CHANNELS: usize>(part: Part, weights: &AxisWeights<i32>) -> Vec<u8> {
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

#[inline(always)]
fn each_column(part: Part, weights: &AxisWeights<i32>) -> Vec<u8> {
    let mut out = vec![0; weights.len() * part.width];
    for ((start, weights), out_row) in weights.iter().zip(out.chunks_exact_mut(part.width)) {
        let (stretches, rest) = out_row.as_chunks_mut::<STRETCH>();
        let done = stretches.len() * STRETCH;
        for (index, target) in stretches.iter_mut().enumerate() {
            let mut sums = [HALF; STRETCH];
            for (row, &weight) in weights.iter().enumerate() {
                if let Some(values) = part.row(start + row)[index * STRETCH..].first_chunk::<STRETCH>() {
                    accumulate(&mut sums, values, weight);
                }
            }
            *target = sums.map(to_byte);
        }
        let mut sums = [HALF; STRETCH];
        for (row, &weight) in weights.iter().enumerate() {
            accumulate(&mut sums, &part.row(start + row)[done..], weight);
        }
        for (target, sum) in rest.iter_mut().zip(sums) {
            *target = to_byte(sum);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Filter;
    use crate::random::Stream;

    #[test]
    fn every_instruction_set_gives_the_same_bytes() {
        let mut stream = Stream::new(1, "passes", 0, 0);
        for _ in 0..100 {
            let [from, to, other] = [(); 3].map(|()| 1 + stream.below(150));
            let bytes: Vec<u8> = (0..from * other * 3).map(|_| stream.below(256) as u8).collect();
            let weights = AxisWeights::new(from, to, 0..to, Filter::Bicubic).fixed_point();
            let wide = Part::whole(&bytes, from * 3);
            assert_eq!(along_rows::<3>(wide, &weights), each_row::<3>(wide, &weights));
            let high = Part::whole(&bytes, other * 3);
            assert_eq!(along_columns(high, &weights), each_column(high, &weights));
        }
    }
}
