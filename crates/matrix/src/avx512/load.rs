//! Values from operands to registers and back to lines, never beyond the end of either.

use std::arch::x86_64::*;

use crate::lines::Line;
use crate::operand::{Operand, Order, Runs};

/// Up to 16 lanes by 16 depths of an operand, the rest zero. `true` where a register holds one lane, `false` where
/// it holds one depth.
#[target_feature(enable = "avx512f")]
#[inline]
pub(crate) fn block(
    operand: &Operand,
    lane: usize,
    lanes: usize,
    depth: usize,
    depths: usize,
) -> (bool, [__m512i; 16]) {
    let (lanes, depths) = (lanes.min(16), depths.min(16));
    let by_lane = operand.order() != Order::AcrossLanes;
    if lanes == 0 || depths == 0 {
        return (by_lane, [_mm512_setzero_si512(); 16]);
    }
    if operand.order() == Order::Scattered {
        return (by_lane, gather(operand, lane, lanes, depth, depths));
    }
    let runs = operand.runs(lane, lanes, depth, depths);
    let whole = lanes == 16 && depths == 16 && !operand.is_masked();
    (by_lane, if whole { load_all(&runs) } else { load_some(&runs) })
}

/// Runs of 16 values.
#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code)]
fn load_all(runs: &Runs) -> [__m512i; 16] {
    assert!(runs.values.len() >= 15 * runs.stride + 16, "not 16 runs");
    let start = runs.values.as_ptr();
    let mut registers = [_mm512_setzero_si512(); 16];
    for (i, register) in registers.iter_mut().enumerate() {
        // SAFETY: the last value of the last run lies within the slice, as the assertion says.
        *register = unsafe { _mm512_loadu_si512(start.add(i * runs.stride).cast()) };
    }
    registers
}

/// Runs of values, some of which are missing or do not count.
#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code)]
fn load_some(runs: &Runs) -> [__m512i; 16] {
    let start = runs.values.as_ptr();
    let mut registers = [_mm512_setzero_si512(); 16];
    for (i, (register, keep)) in registers.iter_mut().zip(runs.keep).enumerate() {
        let present = 16 - keep.leading_zeros() as usize;
        assert!(keep == 0 || i * runs.stride + present <= runs.values.len(), "a run beyond its values");
        // SAFETY: lanes whose bit is not set are not read; the others lie within the slice, as the assertion says.
        *register = unsafe { _mm512_maskz_loadu_epi32(keep, start.wrapping_add(i * runs.stride).cast()) };
    }
    registers
}

/// Values that are not adjacent.
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
fn gather(operand: &Operand, lane: usize, lanes: usize, depth: usize, depths: usize) -> [__m512i; 16] {
    let mut values = [[0f32; 16]; 16];
    for (i, values) in values.iter_mut().enumerate().take(lanes) {
        for (j, value) in values.iter_mut().enumerate().take(depths) {
            *value = operand.value(lane + i, depth + j);
        }
    }
    // SAFETY: 16 arrays of 16 values are 16 registers.
    values.map(|values| unsafe { _mm512_loadu_si512(values.as_ptr().cast()) })
}

/// Fills a line.
#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code)]
pub(crate) fn store(line: &mut Line, register: __m512i) {
    // SAFETY: a line has the size and the alignment of a register.
    unsafe { _mm512_store_si512(std::ptr::from_mut(line).cast(), register) };
}
