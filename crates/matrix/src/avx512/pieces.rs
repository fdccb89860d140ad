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
    let (values, starts) = (from.values(), &from.starts()[row..row + rows]);
    let nothing = _mm512_setzero_si512();
    let all = |start: &usize| {
        pieces[..count].iter().fold(nothing, |found, piece| add(found, values, *start, piece))
    };
    match (<&[usize; 16]>::try_from(starts), count) {
        (Ok(starts), 1) => each!(|i: usize| add(nothing, values, starts[i], &pieces[0])),
        (Ok(starts), 2) => {
            each!(|i: usize| add(add(nothing, values, starts[i], &pieces[0]), values, starts[i], &pieces[1]))
        }
        _ => {
            let mut registers = [nothing; 16];
            registers.iter_mut().zip(starts).for_each(|(register, start)| *register = all(start));
            registers
        }
    }
}

/// What every stored row has of up to 16 columns, row by row in the line at `offset` of every `STEP`.
#[target_feature(enable = "avx512f")]
pub(super) fn store_columns<const STEP: usize>(
    from: &Pieced,
    column: usize,
    columns: usize,
    into: &mut [Line],
    offset: usize,
) {
    let (pieces, count) = from.pieces(column, columns);
    let (values, nothing) = (from.values(), _mm512_setzero_si512());
    let rows = into.as_chunks_mut::<STEP>().0.iter_mut().map(|lines| &mut lines[offset]).zip(from.starts());
    match pieces[..count] {
        [one] => rows.for_each(|(line, &start)| store(line, add(nothing, values, start, &one))),
        [one, two] => rows.for_each(|(line, &start)| {
            store(line, add(add(nothing, values, start, &one), values, start, &two));
        }),
        ref all => rows.for_each(|(line, &start)| {
            store(line, all.iter().fold(nothing, |found, piece| add(found, values, start, piece)));
        }),
    }
}

/// A register with the lanes of a piece put in.
#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code)]
fn add(register: __m512i, values: &[f32], start: usize, piece: &Piece) -> __m512i {
    let place = values.as_ptr().wrapping_add(start).wrapping_add(piece.offset);
    // SAFETY: lanes that do not count are not read; the others lie within the values, wherever a row of them starts.
    unsafe { _mm512_mask_loadu_epi32(register, piece.lanes, place.cast()) }
}
