//! Packing and unpacking of tiles with vector instructions.

use std::arch::x86_64::*;

use super::{Place, Side, TILE};
use crate::MatrixMut;
use crate::avx512::{block, store, transpose};
use crate::lines::Line;
use crate::operand::Operand;

/// Rounds, or splits, the values of a tile. Places outside of the operand become zero.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
pub(super) fn pack_tile(operand: &Operand, place: Place, high: &mut [Line], low: Option<&mut [Line]>) {
    let Place { lane, lanes, depth, side } = place;
    let rest = operand.depth() - depth;
    let (by_lane, near) = block(operand, lane, lanes, depth, rest);
    let (_, far) = block(operand, lane, lanes, depth + 16, rest.saturating_sub(16));
    let turn = by_lane != (side == Side::Left);
    let mut rounded = [_mm512_setzero_si512(); TILE];
    let mut rests = rounded;
    for i in 0..TILE {
        // A register by lane has the near and the far half of its depths; else a pair of depths has all lanes.
        let (first, second) = if by_lane {
            (near[i], far[i])
        } else if i < 8 {
            (near[2 * i], near[2 * i + 1])
        } else {
            (far[2 * i - 16], far[2 * i - 15])
        };
        rounded[i] = round(first, second);
        if low.is_some() {
            rests[i] = round(rest_of(first, rounded[i], false), rest_of(second, rounded[i], true));
        }
    }
    put(rounded, by_lane, turn, high);
    if let Some(low) = low {
        put(rests, by_lane, turn, low);
    }
}

/// Stores a tile, with the members of pairs side by side and in the order of its side.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn put(mut registers: [__m512i; TILE], by_lane: bool, turn: bool, into: &mut [Line]) {
    if !by_lane {
        let interleave = interleaved();
        for register in &mut registers {
            *register = _mm512_permutexvar_epi16(interleave, *register);
        }
    }
    if turn {
        transpose(&mut registers);
    }
    for (line, register) in into.iter_mut().zip(registers) {
        store(line, register);
    }
}

/// Members 0, 16, 1, 17, ... of 32 halves.
#[target_feature(enable = "avx512f")]
#[inline]
fn interleaved() -> __m512i {
    let counts = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    _mm512_or_si512(counts, _mm512_slli_epi32::<16>(_mm512_add_epi32(counts, _mm512_set1_epi32(16))))
}

/// 32 values as bf16.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
#[allow(unsafe_code)]
fn round(first: __m512i, second: __m512i) -> __m512i {
    let rounded = _mm512_cvtne2ps_pbh(_mm512_castsi512_ps(second), _mm512_castsi512_ps(first));
    // SAFETY: both types are 512 plain bits.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(rounded) }
}

/// Values less their rounded ones, which are the lower or the upper half of a register.
#[target_feature(enable = "avx512f")]
#[inline]
fn rest_of(values: __m512i, rounded: __m512i, upper: bool) -> __m512i {
    let half = if upper { _mm512_extracti64x4_epi64::<1>(rounded) } else { _mm512_castsi512_si256(rounded) };
    let rounded = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half));
    _mm512_castps_si512(_mm512_sub_ps(_mm512_castsi512_ps(values), _mm512_castsi512_ps(rounded)))
}

/// Moves sums, two lines per row, to the result.
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
pub(super) fn finish(mut out: MatrixMut, sums: &[Line], factor: f32, accumulate: bool) {
    assert!((1..=32).contains(&out.columns()), "not a panel");
    let (start, stride) = (out.as_mut_ptr(), out.stride());
    let columns = u32::MAX >> (32 - out.columns());
    let factor = _mm512_set1_ps(factor);
    for (row, sums) in sums.as_chunks::<2>().0[..out.rows()].iter().enumerate() {
        for (half, sum) in sums.iter().enumerate() {
            let out = start.wrapping_add(row * stride + 16 * half);
            let mask = (columns >> (16 * half)) as u16;
            // SAFETY: a line is 16 aligned values; the columns of the row that the result has not are masked out.
            unsafe {
                let sum = _mm512_load_ps(sum.0.as_ptr().cast());
                let value = if accumulate {
                    _mm512_fmadd_ps(factor, sum, _mm512_maskz_loadu_ps(mask, out))
                } else {
                    _mm512_mul_ps(factor, sum)
                };
                _mm512_mask_storeu_ps(out, mask, value);
            }
        }
    }
}
