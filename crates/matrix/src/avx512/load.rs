//! Values from operands to registers and back to lines, never beyond the end of either.

use std::arch::x86_64::*;

use crate::lines::Line;
use crate::operand::{Operand, Order};

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
    let mut registers = [_mm512_setzero_si512(); 16];
    let (lanes, depths) = (lanes.min(16), depths.min(16));
    match operand.order() {
        Order::AlongDepth if depths > 0 => {
            for (i, register) in registers.iter_mut().enumerate().take(lanes) {
                *register = run(operand.run(lane + i, depth, depths));
            }
            (true, registers)
        }
        Order::AcrossLanes if lanes > 0 => {
            for (i, register) in registers.iter_mut().enumerate().take(depths) {
                *register = run(operand.run(lane, depth + i, lanes));
            }
            (false, registers)
        }
        Order::AlongDepth => (true, registers),
        Order::AcrossLanes => (false, registers),
        Order::Scattered => {
            for (i, register) in registers.iter_mut().enumerate().take(lanes) {
                let mut values = [0.0; 16];
                for (j, value) in values.iter_mut().enumerate().take(depths) {
                    *value = operand.value(lane + i, depth + j);
                }
                *register = run((&values, u16::MAX));
            }
            (true, registers)
        }
    }
}

/// Those of up to 16 adjacent values whose bit is set.
#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code)]
fn run((values, keep): (&[f32], u16)) -> __m512i {
    let present = u16::MAX >> (16 - values.len().min(16));
    // SAFETY: the lanes of the load whose bit is not set are not read; the others lie within the slice.
    _mm512_castps_si512(unsafe { _mm512_maskz_loadu_ps(present & keep, values.as_ptr()) })
}

/// Fills a line.
#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code)]
pub(crate) fn store(line: &mut Line, register: __m512i) {
    // SAFETY: a line has the size and the alignment of a register.
    unsafe { _mm512_store_si512(std::ptr::from_mut(line).cast(), register) };
}
