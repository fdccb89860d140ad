//! True f32 on any CPU: a checked call of the `gemm` crate.

use gemm::Parallelism;
use rayon::prelude::*;

use crate::operand::{Operand, Strided};
use crate::{Matrix, MatrixMut, Pieced, Settings, Source, Threads};

/// Whether the columns of a matrix are stored one after the other, if its rows are not; nothing for a matrix that
/// lies in neither way, or in both.
fn by_columns(matrix: Matrix) -> Option<bool> {
    let vector = matrix.rows() == 1 || matrix.columns() == 1;
    match (matrix.row_stride() == 1, matrix.column_stride() == 1) {
        (true, false) if !vector => Some(true),
        (false, true) if !vector => Some(false),
        _ => None,
    }
}

/// The product of `a` and `b`, whose shapes agree with `out`.
///
/// The `gemm` crate has several ways to sum, and chooses by strides. So that a packed copy gives the same bits, a
/// right-hand side that its copy could not resemble is copied here as well.
pub(crate) fn product(out: MatrixMut, a: Source, b: &Operand, settings: &Settings) {
    let joined;
    let a = match a {
        Source::Strided(a) => a,
        Source::Pieced(a) => {
            joined = Values::joined(a, settings.threads);
            joined.matrix()
        }
    };
    let copy = match b {
        Operand::Strided(b) if by_columns(b.matrix()).is_some() && !b.is_masked() => {
            return call(out, a, b.matrix(), settings);
        }
        Operand::Strided(b) => Values::copy(b, settings.threads),
        Operand::Pieced(b) => Values::joined(b.transposed(), settings.threads),
    };
    call(out, a, copy.matrix(), settings);
}

/// The product of `a` and a copy.
pub(crate) fn product_packed(out: MatrixMut, a: Matrix, b: &Values, settings: &Settings) {
    call(out, a, b.matrix(), settings);
}

#[allow(unsafe_code)]
fn call(mut out: MatrixMut, a: Matrix, b: Matrix, settings: &Settings) {
    assert!(
        a.columns() == b.rows() && out.rows() == a.rows() && out.columns() == b.columns(),
        "the shapes of the matrices do not agree"
    );
    let parallelism = match settings.threads {
        Threads::This => Parallelism::None,
        Threads::Pool => Parallelism::Rayon(0),
    };
    // SAFETY: the constructors checked that every row and column lies within its slice and that the rows of the
    // result do not overlap; the exclusive borrow keeps the result apart from the operands.
    unsafe {
        gemm::gemm(
            out.rows(),
            out.columns(),
            a.columns(),
            out.as_mut_ptr(),
            1,
            out.stride() as isize,
            settings.accumulate,
            a.values().as_ptr(),
            a.column_stride() as isize,
            a.row_stride() as isize,
            b.values().as_ptr(),
            b.column_stride() as isize,
            b.row_stride() as isize,
            1.0,
            settings.factor,
            false,
            false,
            false,
            parallelism,
        );
    }
    finish(out, 0, settings);
}

/// Calls the epilogue row by row.
pub(crate) fn finish(mut out: MatrixMut, first: usize, settings: &Settings) {
    let Some(epilogue) = settings.epilogue else { return };
    let rows = out.rows();
    if settings.threads == Threads::Pool && rows > 1 && rows.saturating_mul(out.columns()) > 1 << 14 {
        let (top, bottom) = out.split_rows(rows / 2);
        rayon::join(|| finish(top, first, settings), || finish(bottom, first + rows / 2, settings));
    } else {
        for row in 0..rows {
            epilogue(first + row, 0, out.row(row));
        }
    }
}

/// A copy of a matrix without gaps.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
    by_columns: bool,
}

impl Values {
    /// Copies a right-hand side, with zeros where its mask says so.
    pub(crate) fn copy(operand: &Strided, threads: Threads) -> Self {
        let matrix = operand.matrix();
        let (rows, columns) = (matrix.rows(), matrix.columns());
        let by_columns = by_columns(matrix).unwrap_or(false);
        let mut values = vec![0.0; rows * columns];
        let width = if by_columns { rows } else { columns };
        let fill = |(line, into): (usize, &mut [f32])| {
            for (i, into) in into.iter_mut().enumerate() {
                *into = if by_columns { operand.value(line, i) } else { operand.value(i, line) };
            }
        };
        match threads {
            Threads::This => values.chunks_exact_mut(width.max(1)).enumerate().for_each(fill),
            Threads::Pool => values.par_chunks_exact_mut(width.max(1)).enumerate().for_each(fill),
        }
        Self { values, rows, columns, by_columns }
    }

    /// Copies a matrix in pieces.
    fn joined(matrix: Pieced, threads: Threads) -> Self {
        Self {
            values: matrix.copied(threads),
            rows: matrix.rows(),
            columns: matrix.columns(),
            by_columns: matrix.is_transposed(),
        }
    }

    fn matrix(&self) -> Matrix<'_> {
        if self.by_columns {
            Matrix::new(&self.values, self.columns, self.rows, self.rows).transposed()
        } else {
            Matrix::new(&self.values, self.rows, self.columns, self.columns)
        }
    }

    /// The memory of the values.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }
}
