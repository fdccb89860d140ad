//! Values from operands to registers and back to lines, never beyond the end of either.

use std::arch::x86_64::*;

use super::pieces::load_pieces;
use crate::lines::Line;
use crate::operand::{Operand, Order, Runs};

/// An array of what `$of` makes of 0 to 15. Written out: a loop would move the registers through memory.
macro_rules! each {
    ($of:expr) => {
        [
            $of(0),
            $of(1),
            $of(2),
            $of(3),
            $of(4),
            $of(5),
            $of(6),
            $of(7),
            $of(8),
            $of(9),
            $of(10),
            $of(11),
            $of(12),
            $of(13),
            $of(14),
            $of(15),
        ]
    };
}
pub(super) use each;

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
    let registers = match operand {
        Operand::Pieced(values) if by_lane => load_pieces(values, lane, lanes, depth, depths),
        Operand::Pieced(values) => load_pieces(values, depth, depths, lane, lanes),
        Operand::Strided(_) if operand.order() == Order::Scattered => {
            gather(operand, lane, lanes, depth, depths)
        }
        Operand::Strided(values) => load(&values.runs(lane, lanes, depth, depths)),
    };
    (by_lane, registers)
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
