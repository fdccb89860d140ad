//! Kernels for CPUs with AVX-512: f32 products, and the packing that they share with the matrix unit.

mod kernel;
mod load;
mod pack;
mod pieces;
mod transpose;

pub(crate) use load::{block, store};
pub(crate) use transpose::transpose;

use crate::MatrixMut;
use crate::blocks::{Engine, PANEL};
use crate::lines::Line;
use crate::operand::Operand;

/// Proof that this CPU has the instructions that the kernels need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        found.then_some(Self(()))
    }
}

/// The depth of one pass of the kernel: with it, a panel takes 32 of the 48 KiB of the first cache.
const PASS: usize = 256;

impl Engine for Avx512 {
    const STRIP: usize = kernel::MOST_ROWS;

    fn most_strips(&self, depth: usize) -> usize {
        ((1 << 14) / depth).clamp(4, 10)
    }

    fn panel_lines(&self, depth: usize) -> usize {
        2 * depth
    }

    fn row_lines(&self, rows: usize, depth: usize) -> usize {
        rows.div_ceil(Self::STRIP) * depth
    }

    #[allow(unsafe_code)]
    fn pack_panel(&self, columns: &Operand, column: usize, into: &mut [Line]) {
        // SAFETY: a value of this type proves that the CPU has the instructions.
        unsafe { pack::panel(columns, column, into) };
    }

    #[allow(unsafe_code)]
    fn pack_rows(&self, rows: &Operand, row: usize, count: usize, into: &mut [Line]) {
        // SAFETY: a value of this type proves that the CPU has the instructions.
        unsafe { pack::rows(rows, row, count, into) };
    }

    #[allow(unsafe_code)]
    fn multiply(
        &self,
        mut out: MatrixMut,
        a: &[Line],
        b: &[Line],
        depth: usize,
        factor: f32,
        accumulate: bool,
    ) {
        let (rows, columns) = (out.rows(), out.columns());
        let (all, lines) = (b, self.panel_lines(depth));
        for start in (0..depth).step_by(PASS) {
            let end = depth.min(start + PASS);
            for (panel, b) in all.chunks_exact(lines).enumerate() {
                let columns = panel * PANEL..columns.min((panel + 1) * PANEL);
                let share = (2 * (end - start)).div_ceil(strips(rows).count());
                for (i, (strip, a)) in strips(rows).zip(a.chunks_exact(depth)).enumerate() {
                    let out = out.part(strip, columns.clone());
                    // Each strip asks for its share of the panel that follows.
                    let ahead = all.get(panel * lines + lines + 2 * start + i * share..).unwrap_or_default();
                    let (a, b) = (&a[start..end], &b[2 * start..2 * end]);
                    // SAFETY: a value of this type proves that the CPU has the instructions.
                    unsafe {
                        kernel::multiply(
                            out,
                            a,
                            b,
                            &ahead[..share.min(ahead.len())],
                            factor,
                            accumulate || start > 0,
                        )
                    };
                }
            }
        }
    }
}

/// Cuts rows in strips of nearly equal length: a strip of one row would take as long as one of four.
fn strips(rows: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let count = rows.div_ceil(kernel::MOST_ROWS);
    let (length, longer) = (rows / count.max(1), rows % count.max(1));
    (0..count).map(move |strip| {
        let start = strip * length + strip.min(longer);
        start..start + length + usize::from(strip < longer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_the_rows() {
        for rows in 0..200 {
            let mut next = 0;
            for strip in strips(rows) {
                assert_eq!(strip.start, next);
                assert!((1..=kernel::MOST_ROWS).contains(&strip.len()));
                next = strip.end;
            }
            assert_eq!(next, rows);
        }
    }
}
