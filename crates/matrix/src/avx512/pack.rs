//! f32 operands in the order of the kernel: for each depth, the values of all lanes.
//!
//! Values that are adjacent across lanes are read for all lanes at once, depth by depth: coming back for the next lanes
//! later would find the cache without them, because rows of a power of two lie in the same few places of it. Rows in
//! pieces are of other lengths and share most of their values: they are read for 16 lanes after the other.

use super::pieces::store_columns;
use super::{block, store, strips, transpose};
use crate::lines::Line;
use crate::operand::{Operand, Order};

/// Depths of a square.
const DEPTHS: usize = 16;

/// Packs the 32 lanes from `lane` on: those at depth `d` into the lines `2 d` and `2 d + 1`. Lanes beyond the operand
/// become zero.
#[target_feature(enable = "avx512f")]
pub(super) fn panel(operand: &Operand, lane: usize, into: &mut [Line]) {
    if let Operand::Pieced(values) = operand
        && operand.order() == Order::AcrossLanes
    {
        return store_columns(values, lane, into);
    }
    for (i, into) in into.chunks_mut(2 * DEPTHS).enumerate() {
        for half in 0..2 {
            let first = lane + 16 * half;
            let lanes = operand.lanes().saturating_sub(first).min(16);
            square::<2>(operand, first, lanes, DEPTHS * i, into, half);
        }
    }
}

/// Packs `count` lanes from `lane` on in strips, one after the other: those at depth `d` into line `d` of their strip.
#[target_feature(enable = "avx512f")]
pub(super) fn rows(operand: &Operand, lane: usize, count: usize, into: &mut [Line]) {
    let depth = operand.depth();
    let squares = |depths: std::ops::Range<usize>, strip: std::ops::Range<usize>, into: &mut [Line]| {
        for start in depths.step_by(DEPTHS) {
            let into = &mut into[start..depth.min(start + DEPTHS)];
            square::<1>(operand, lane + strip.start, strip.len(), start, into, 0);
        }
    };
    if operand.order() == Order::AcrossLanes {
        for start in (0..depth).step_by(DEPTHS) {
            for (strip, into) in strips(count).zip(into.chunks_exact_mut(depth)) {
                squares(start..depth.min(start + DEPTHS), strip, into);
            }
        }
    } else {
        for (strip, into) in strips(count).zip(into.chunks_exact_mut(depth)) {
            squares(0..depth, strip, into);
        }
    }
}

/// Packs up to 16 lanes at up to 16 depths: those at the `d`-th depth into line `d * STEP + offset`, the rest of it zero.
#[target_feature(enable = "avx512f")]
#[inline]
fn square<const STEP: usize>(
    operand: &Operand,
    lane: usize,
    lanes: usize,
    depth: usize,
    into: &mut [Line],
    offset: usize,
) {
    let (by_lane, mut registers) = block(operand, lane, lanes, depth, into.len() / STEP);
    if by_lane {
        transpose(&mut registers);
    }
    if let Ok(into) = <&mut [[Line; STEP]; DEPTHS]>::try_from(into.as_chunks_mut().0) {
        for (line, register) in into.iter_mut().zip(registers) {
            store(&mut line[offset], register);
        }
    } else {
        for (line, register) in into.as_chunks_mut::<STEP>().0.iter_mut().zip(registers) {
            store(&mut line[offset], register);
        }
    }
}
