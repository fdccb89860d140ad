//! f32 operands in the order of the kernel: for each depth, the values of all lanes.

use super::{block, store, transpose};
use crate::lines::Line;
use crate::operand::Operand;

/// Packs up to 16 lanes from `lane` on: those at depth `d` into line `d * step + offset`, the rest of it zero.
#[target_feature(enable = "avx512f")]
pub(super) fn lanes(
    operand: &Operand,
    lane: usize,
    lanes: usize,
    into: &mut [Line],
    step: usize,
    offset: usize,
) {
    for (i, into) in into.chunks_mut(16 * step).enumerate() {
        let (depth, depths) = (16 * i, into.len() / step);
        let (by_lane, mut registers) = block(operand, lane, lanes, depth, depths);
        if by_lane {
            transpose(&mut registers);
        }
        for (line, register) in into.iter_mut().skip(offset).step_by(step).zip(registers) {
            store(line, register);
        }
    }
}
