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
    (by_lane, load(&operand.runs(lane, lanes, depth, depths)))
}

/// Each run to a register.
#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code)]
fn load(runs: &Runs) -> [__m512i; 16] {
    let Runs { values, stride, count, length, masks } = *runs;
    assert!(
        (1..=16).contains(&count)
            && (1..=16).contains(&length)
            && (count - 1) * stride + length <= values.len(),
        "runs beyond their values"
    );
    let start = values.as_ptr();
    let present = u16::MAX >> (16 - length);
    let mut registers = [_mm512_setzero_si512(); 16];
    if let Some(masks) = masks {
        for (i, register) in registers.iter_mut().enumerate().take(count) {
            // SAFETY: lanes whose bit is not set are not read; the others lie within the slice, as asserted.
            *register = unsafe { _mm512_maskz_loadu_epi32(masks[i] & present, start.add(i * stride).cast()) };
        }
        return registers;
    }
    // Written out: a loop would move the registers through memory.
    macro_rules! each {
        ($load:expr) => {
            [
                $load(0),
                $load(1),
                $load(2),
                $load(3),
                $load(4),
                $load(5),
                $load(6),
                $load(7),
                $load(8),
                $load(9),
                $load(10),
                $load(11),
                $load(12),
                $load(13),
                $load(14),
                $load(15),
            ]
        };
    }
    let run = |i: usize| start.wrapping_add(i.wrapping_mul(stride)).cast::<i32>();
    if count == 16 && length == 16 {
        // SAFETY: 16 runs of 16 values lie within the slice, as asserted.
        unsafe { each!(|i| _mm512_loadu_si512(run(i).cast())) }
    } else {
        let mask = |i| if i < count { present } else { 0 };
        // SAFETY: lanes whose bit is not set are not read; the others lie within the slice, as asserted.
        unsafe { each!(|i| _mm512_maskz_loadu_epi32(mask(i), run(i))) }
    }
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
