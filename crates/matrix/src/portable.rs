//! True f32 on any CPU: a checked call of the `gemm` crate.

use gemm::Parallelism;
use rayon::prelude::*;

use crate::{Matrix, MatrixMut, Settings, Threads};

/// The product of `a` and `b`, whose shapes agree with `out`.
#[allow(unsafe_code)]
pub(crate) fn product(mut out: MatrixMut, a: Matrix, b: Matrix, settings: &Settings) {
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

/// The values of a matrix in its order of storage without gaps, and zeros where the mask has no bit.
pub(crate) fn copy(matrix: Matrix, keep: Option<&[u64]>, threads: Threads) -> Vec<f32> {
    let stored = if matrix.is_transposed() { matrix.transposed() } else { matrix };
    let width = stored.columns();
    let mut values = vec![0.0; stored.rows() * width];
    if width == 0 {
        return values;
    }
    let fill = |(row, into): (usize, &mut [f32])| {
        for (column, into) in into.iter_mut().enumerate() {
            let bit = row * width + column;
            if keep.is_none_or(|words| words[bit / 64] >> (bit % 64) & 1 == 1) {
                *into = stored.values()[row * stored.row_stride() + column * stored.column_stride()];
            }
        }
    };
    match threads {
        Threads::This => values.chunks_exact_mut(width).enumerate().for_each(fill),
        Threads::Pool => values.par_chunks_exact_mut(width).enumerate().for_each(fill),
    }
    values
}
