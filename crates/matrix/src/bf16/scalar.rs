//! Packing and unpacking of tiles on any CPU.

use super::rounding::{round, split};
use super::{Place, STEP, Side, TILE};
use crate::MatrixMut;
use crate::lines::Line;
use crate::operand::Operand;

/// Rounds, or splits, the values of a tile. Places outside of the operand become zero.
pub(super) fn pack_tile(operand: &Operand, place: Place, high: &mut [Line], low: Option<&mut [Line]>) {
    let splits = low.is_some();
    let mut tiles = [Some(high), low];
    for tile in tiles.iter_mut().flatten() {
        tile.fill(Line::ZERO);
    }
    for lane in 0..place.lanes {
        for depth in 0..STEP.min(operand.depth() - place.depth) {
            let x = operand.value(place.lane + lane, place.depth + depth);
            let parts = if splits { split(x) } else { (round(x), 0) };
            let (line, word) = match place.side {
                Side::Left => (lane, depth / 2),
                Side::Right => (depth / 2, lane),
            };
            for (tile, part) in tiles.iter_mut().flatten().zip([parts.0, parts.1]) {
                tile[line].0[word] |= u32::from(part) << (16 * (depth % 2));
            }
        }
    }
}

/// Moves sums, two lines per row, to the result.
pub(super) fn finish(mut out: MatrixMut, sums: &[Line], factor: f32, accumulate: bool) {
    for row in 0..out.rows() {
        for (column, value) in out.row(row).iter_mut().enumerate() {
            let sum = f32::from_bits(sums[2 * row + column / TILE].0[column % TILE]);
            *value = if accumulate { factor.mul_add(sum, *value) } else { factor * sum };
        }
    }
}
