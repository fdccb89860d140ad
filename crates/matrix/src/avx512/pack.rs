//! f32 operands in the order of the kernel: for each depth, the values of all lanes.

use super::{block, store, transpose};
use crate::lines::Line;
use crate::operand::Operand;

/// Packs up to 16 lanes from `lane` on: those at depth `d` into line `d * STEP + offset`, the rest of it zero.
#[target_feature(enable = "avx512f")]
pub(super) fn lanes<const STEP: usize>(
    operand: &Operand,
    lane: usize,
    lanes: usize,
    into: &mut [Line],
    offset: usize,
) {
    for (i, into) in into.chunks_mut(16 * STEP).enumerate() {
        let (by_lane, mut registers) = block(operand, lane, lanes, 16 * i, into.len() / STEP);
        if by_lane {
            transpose(&mut registers);
        }
        if let Ok(into) = <&mut [[Line; STEP]; 16]>::try_from(into.as_chunks_mut().0) {
            for (line, register) in into.iter_mut().zip(registers) {
                store(&mut line[offset], register);
            }
        } else {
            for (line, register) in into.as_chunks_mut::<STEP>().0.iter_mut().zip(registers) {
                store(&mut line[offset], register);
            }
        }
    }
}
