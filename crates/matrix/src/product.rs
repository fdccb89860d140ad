//! The entries of the crate: which kernels a product goes to.

use crate::bf16::Tiles;
use crate::blocks::{self, Columns};
use crate::operand::{Operand, Strided};
use crate::packed::Contents;
use crate::portable;
use crate::{Kernels, Matrix, MatrixMut, Packed, Precision, Settings, Source};

#[cfg(target_arch = "x86_64")]
use crate::avx512::Avx512;

/// Sets `out` to `factor a b`, or adds that to it; the operands may have any strides, or rows [in pieces](crate::Pieced).
///
/// # Panics
/// If the shapes do not agree.
pub fn product<'a>(
    out: MatrixMut,
    a: impl Into<Source<'a>>,
    b: impl Into<Source<'a>>,
    precision: Precision,
    settings: &Settings,
) {
    of_raw(out, a.into(), Operand::right(b.into()), precision, settings);
}

/// [`product`] with exact zeros in place of the values of `b` whose bit is not set. They are put in where `b` is packed,
/// so that there is no masked matrix; only the `gemm` crate is given a masked copy. The bits follow the rows of `b` as it was before any transposition, 64 to a word,
/// the lowest first, without gaps between rows.
///
/// # Panics
/// If the shapes do not agree, or there are fewer bits than values.
pub fn product_masked(
    out: MatrixMut,
    a: Matrix,
    b: Matrix,
    bits: &[u64],
    precision: Precision,
    settings: &Settings,
) {
    let masked = Operand::Strided(Strided::masked_right(b, bits));
    of_raw(out, a.into(), masked, precision, settings);
}

fn of_raw(mut out: MatrixMut, a: Source, b: Operand, precision: Precision, settings: &Settings) {
    check(&out, a, b.depth(), b.lanes());
    if finished(&mut out, a, settings) {
        return;
    }
    let (rows, columns) = (Operand::left(a), Columns::Raw(b));
    match precision {
        Precision::F32 => {
            #[cfg(target_arch = "x86_64")]
            if let (Kernels::Native, Some(engine)) = (settings.kernels, Avx512::detect()) {
                return blocks::product(engine, out, &rows, columns, settings);
            }
            portable::product(out, a, &b, settings);
        }
        Precision::Bf16x3 | Precision::Bf16 => {
            let engine = Tiles::new(precision == Precision::Bf16x3, settings.kernels);
            blocks::product(engine, out, &rows, columns, settings);
        }
    }
}

/// Sets `out` to `factor a b`, or adds that to it, for an operand `b` that was packed before. The bits are those
/// of [`product`] in the precision and with the kernels that `b` was packed for.
///
/// # Panics
/// If the shapes do not agree.
pub fn product_packed(mut out: MatrixMut, a: Matrix, b: &Packed, settings: &Settings) {
    check(&out, a.into(), b.rows(), b.columns());
    if finished(&mut out, a.into(), settings) {
        return;
    }
    let rows = Operand::left(a.into());
    match &b.contents {
        Contents::Values(values) => portable::product_packed(out, a, values, settings),
        #[cfg(target_arch = "x86_64")]
        Contents::Panels { lines, engine } => {
            blocks::product(*engine, out, &rows, Columns::Packed(lines), settings);
        }
        Contents::Tiles { lines, engine } => {
            blocks::product(*engine, out, &rows, Columns::Packed(lines), settings);
        }
    }
}

fn check(out: &MatrixMut, a: Source, rows: usize, columns: usize) {
    assert!(
        a.columns() == rows && out.rows() == a.rows() && out.columns() == columns,
        "the shapes of the matrices do not agree: {}x{} times {rows}x{columns} into {}x{}",
        a.rows(),
        a.columns(),
        out.rows(),
        out.columns()
    );
}

/// Settles products without an element or without a term to sum.
fn finished(out: &mut MatrixMut, a: Source, settings: &Settings) -> bool {
    if out.rows() == 0 || out.columns() == 0 {
        return true;
    }
    if a.columns() == 0 {
        for row in 0..out.rows() {
            if !settings.accumulate {
                out.row(row).fill(0.0);
            }
            if let Some(epilogue) = settings.epilogue {
                epilogue(row, 0, out.row(row));
            }
        }
    }
    a.columns() == 0
}
