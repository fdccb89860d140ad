//! Products of bf16 values with f32 sums, as the matrix unit of recent x86 CPUs (AMX) computes them.
//!
//! An operand is packed in tiles of 16 lanes by 32 depths, each of which is 16 lines: a strip or a panel is two
//! tiles wide. A step of 32 depths holds its tiles one after the other, for split values first the high parts of
//! both, then the low ones. Rows of a left-hand tile are lanes; rows of a right-hand tile are pairs of depths.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod amx;
mod emulation;
mod rounding;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod vector;

use std::ops::Range;

use crate::blocks::{Engine, PANEL};
use crate::lines::Line;
use crate::operand::{Operand, Order};
use crate::{Kernels, MatrixMut};

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use amx::Amx;

/// A stand-in that never exists, where there is no matrix unit.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[derive(Debug, Clone, Copy)]
enum Amx {}

/// Whether bf16 products run on a matrix unit; otherwise they are emulated, which is slow.
pub fn amx_available() -> bool {
    detect().is_some()
}

fn detect() -> Option<Amx> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    return Amx::detect();
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    None
}

/// Depths of a tile.
const STEP: usize = 32;

/// Lanes of a tile, and its lines.
const TILE: usize = 16;

/// The kernels of both bf16 precisions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiles {
    split: bool,
    amx: Option<Amx>,
}

/// The side of a product that a tile is for, which decides what its rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A tile's place in its operand.
#[derive(Debug, Clone, Copy)]
struct Place {
    lane: usize,
    lanes: usize,
    depth: usize,
    side: Side,
}

impl Tiles {
    /// `split`: whether values are split in two parts.
    pub(crate) fn new(split: bool, kernels: Kernels) -> Self {
        Self { split, amx: if kernels == Kernels::Native { detect() } else { None } }
    }

    fn parts(&self) -> usize {
        if self.split { 2 } else { 1 }
    }

    /// Packs one step of the depth of a strip or a panel of `tiles` tiles.
    fn pack_step(
        &self,
        operand: &Operand,
        (lane, lanes): (usize, usize),
        step: usize,
        tiles: usize,
        side: Side,
        into: &mut [Line],
    ) {
        let (high, low) = into.split_at_mut(tiles * TILE);
        for (tile, high) in high.chunks_exact_mut(TILE).enumerate() {
            let place = Place {
                lane: lane + tile * TILE,
                lanes: lanes.saturating_sub(tile * TILE).min(TILE),
                depth: step * STEP,
                side,
            };
            self.pack_tile(operand, place, high, low.get_mut(tile * TILE..(tile + 1) * TILE));
        }
    }

    #[inline]
    #[allow(unsafe_code)]
    fn pack_tile(&self, operand: &Operand, place: Place, high: &mut [Line], low: Option<&mut [Line]>) {
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        if self.amx.is_some() {
            // SAFETY: detection of the matrix unit includes the vector instructions.
            return unsafe { vector::pack_tile(operand, place, high, low) };
        }
        scalar::pack_tile(operand, place, high, low);
    }

    /// Sets the sums to the product of a strip of `tiles` tiles and a panel.
    fn sum(&self, tiles: usize, a: &[Line], b: &[Line], sums: &mut [Line; SUMS]) {
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        if let Some(amx) = self.amx {
            return amx.sum(self.split, tiles, a, b, sums);
        }
        sums.fill(Line::ZERO);
        emulation::add(self.split, tiles, a, b, sums);
    }

    /// Moves the sums of a strip to the result.
    #[allow(unsafe_code)]
    fn finish(&self, out: MatrixMut, sums: &[Line], factor: f32, accumulate: bool) {
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        if self.amx.is_some() {
            // SAFETY: detection of the matrix unit includes the vector instructions.
            return unsafe { vector::finish(out, sums, factor, accumulate) };
        }
        scalar::finish(out, sums, factor, accumulate);
    }
}

/// Lines of the sums of a strip by a panel: 32 rows of two lines.
const SUMS: usize = 2 * PANEL;

impl Engine for Tiles {
    const STRIP: usize = 2 * TILE;

    fn most_strips(&self, depth: usize) -> usize {
        let bytes = self.row_lines(Self::STRIP, depth) * size_of::<Line>();
        ((5 << 18) / bytes.max(1)).clamp(2, 8)
    }

    fn panel_lines(&self, depth: usize) -> usize {
        depth.div_ceil(STEP) * 2 * self.parts() * TILE
    }

    fn row_lines(&self, rows: usize, depth: usize) -> usize {
        depth.div_ceil(STEP) * rows.div_ceil(TILE) * self.parts() * TILE
    }

    fn pack_panel(&self, columns: &Operand, column: usize, into: &mut [Line]) {
        let lanes = (column, columns.lanes() - column);
        for (step, into) in into.chunks_exact_mut(2 * self.parts() * TILE).enumerate() {
            self.pack_step(columns, lanes, step, 2, Side::Right, into);
        }
    }

    fn pack_rows(&self, rows: &Operand, row: usize, count: usize, into: &mut [Line]) {
        let (depth, lines) = (rows.depth(), self.row_lines(Self::STRIP, rows.depth()));
        let pack = |steps: Range<usize>, strip: usize, into: &mut [Line]| {
            let (start, count) = (strip * Self::STRIP, count - strip * Self::STRIP);
            let tiles = count.div_ceil(TILE).min(2);
            let length = tiles * self.parts() * TILE;
            for step in steps {
                let into = &mut into[step * length..][..length];
                self.pack_step(rows, (row + start, count), step, tiles, Side::Left, into);
            }
        };
        let steps = depth.div_ceil(STEP);
        if rows.order() == Order::AcrossLanes {
            // All strips at each depth, for the reason that the f32 packing has.
            for step in 0..steps {
                for (strip, into) in into.chunks_mut(lines).enumerate() {
                    pack(step..step + 1, strip, into);
                }
            }
        } else {
            for (strip, into) in into.chunks_mut(lines).enumerate() {
                pack(0..steps, strip, into);
            }
        }
    }

    fn multiply(
        &self,
        mut out: MatrixMut,
        a: &[Line],
        b: &[Line],
        depth: usize,
        factor: f32,
        accumulate: bool,
    ) {
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        let _configured = self.amx.map(Amx::configure);
        let (rows, columns) = (out.rows(), out.columns());
        let strip = self.row_lines(Self::STRIP, depth);
        let mut sums = [Line::ZERO; SUMS];
        for (panel, b) in b.chunks_exact(self.panel_lines(depth)).enumerate() {
            let columns = panel * PANEL..columns.min((panel + 1) * PANEL);
            for (i, a) in a.chunks(strip).enumerate() {
                let rows = i * Self::STRIP..rows.min((i + 1) * Self::STRIP);
                let mut out = out.part(rows, columns.clone());
                out.prefetch();
                self.sum(2 * a.len() / strip, a, b, &mut sums);
                self.finish(out, &sums, factor, accumulate);
            }
        }
    }
}
