//! Values from rows in pieces to registers and lines.

use std::arch::x86_64::*;

use super::load::each;
use super::store;
use crate::Pieced;
use crate::lines::Line;
use crate::pieced::Piece;

/// To each register what a stored row has of up to 16 columns.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn load_pieces(
    from: &Pieced,
    row: usize,
    rows: usize,
    column: usize,
    columns: usize,
) -> [__m512i; 16] {
    let (pieces, count) = from.pieces(column, columns);
    let (pieces, starts) = (&pieces[..count], &from.starts()[row..row + rows]);
    // SAFETY: the start of a row and pieces of the same matrix.
    #[allow(unsafe_code)]
    let of = |start: usize, pieces: &[Piece]| unsafe { load(from, start, pieces) };
    match (<&[usize; 16]>::try_from(starts), pieces) {
        (Ok(starts), &[one]) => each!(|i: usize| of(starts[i], &[one])),
        (Ok(starts), &[one, two]) => each!(|i: usize| of(starts[i], &[one, two])),
        _ => {
            let mut registers = [_mm512_setzero_si512(); 16];
            registers.iter_mut().zip(starts).for_each(|(register, start)| *register = of(*start, pieces));
            registers
        }
    }
}

/// What every stored row has of the 32 columns from `column` on, row by row in two lines. Columns beyond the matrix become
/// zero.
#[target_feature(enable = "avx512f")]
pub(super) fn store_columns(from: &Pieced, column: usize, into: &mut [Line]) {
    for half in 0..2 {
        let first = (column + 16 * half).min(from.length());
        let (pieces, count) = from.pieces(first, (from.length() - first).min(16));
        let lines = into.as_chunks_mut::<2>().0.iter_mut().map(|lines| &mut lines[half]);
        let rows = lines.zip(from.starts());
        // SAFETY: the start of a row and pieces of the same matrix.
        #[allow(unsafe_code)]
        let of = |start: usize, pieces: &[Piece]| unsafe { load(from, start, pieces) };
        match pieces[..count] {
            [one] => rows.for_each(|(line, &start)| store(line, of(start, &[one]))),
            [one, two] => rows.for_each(|(line, &start)| store(line, of(start, &[one, two]))),
            ref pieces => rows.for_each(|(line, &start)| store(line, of(start, pieces))),
        }
    }
}

/// A register with the lanes of some pieces of the row that begins at `start`, the rest of it zero.
///
/// # Safety
/// `start` is one of `from.starts()`, and the pieces are of `from.pieces()`: lanes that count lie within the values then,
/// because the constructor checked the last start and the last line together.
#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code)]
unsafe fn load(from: &Pieced, start: usize, pieces: &[Piece]) -> __m512i {
    let mut register = _mm512_setzero_si512();
    for piece in pieces {
        let place = from.values().as_ptr().wrapping_add(start).wrapping_add(piece.offset);
        // SAFETY: lanes that do not count are not read; the caller vouches for the others.
        register = unsafe { _mm512_mask_loadu_epi32(register, piece.lanes, place.cast()) };
    }
    register
}
