//! Matrices whose rows are in pieces: what a convolution reads of an image, without a copy for each place of its window.

use rayon::prelude::*;

use crate::Threads;

/// A read-only matrix whose element `(row, column)` is the value at
/// `starts[row] + lines[column / width] + column % width`.
#[derive(Debug, Clone, Copy)]
pub struct Pieced<'a> {
    values: &'a [f32],
    starts: &'a [usize],
    lines: &'a [usize],
    width: usize,
    transposed: bool,
}

/// Adjacent values among up to 16 columns: for a vector whose lane 0 lies `offset` behind the start of a row, wrapping
/// around, the lanes that count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) offset: usize,
    pub(crate) lanes: u16,
}

impl<'a> Pieced<'a> {
    /// A row for each of `starts`, of as many pieces of `width` values as there are `lines`.
    ///
    /// # Panics
    /// If the matrix exceeds its values, or its pieces are empty or more than can be counted.
    pub fn new(values: &'a [f32], starts: &'a [usize], lines: &'a [usize], width: usize) -> Self {
        let fits = match (starts.iter().max(), lines.iter().max()) {
            (Some(start), Some(line)) => {
                let end = start.checked_add(*line).and_then(|start| start.checked_add(width));
                end.is_some_and(|end| end <= values.len())
            }
            _ => true,
        };
        assert!(fits, "the matrix exceeds its values");
        assert!(width > 0, "the pieces of the matrix are empty");
        assert!(lines.len().checked_mul(width).is_some(), "the matrix has too many columns");
        Self { values, starts, lines, width, transposed: false }
    }

    /// The transpose, without moving a value.
    pub fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// The number of rows.
    pub fn rows(self) -> usize {
        if self.transposed { self.length() } else { self.starts.len() }
    }

    /// The number of columns.
    pub fn columns(self) -> usize {
        if self.transposed { self.starts.len() } else { self.length() }
    }

    pub(crate) fn is_transposed(self) -> bool {
        self.transposed
    }

    pub(crate) fn values(self) -> &'a [f32] {
        self.values
    }

    /// Where each stored row starts.
    pub(crate) fn starts(self) -> &'a [usize] {
        self.starts
    }

    /// Values of a stored row.
    pub(crate) fn length(self) -> usize {
        self.lines.len() * self.width
    }

    pub(crate) fn value(self, row: usize, column: usize) -> f32 {
        let (row, column) = if self.transposed { (column, row) } else { (row, column) };
        self.values[self.starts[row] + self.lines[column / self.width] + column % self.width]
    }

    /// The pieces of a stored row that hold its columns from `column` on, up to 16 of them, and how many pieces that are.
    /// Wherever a row starts, the lanes that count lie within the values.
    #[inline]
    pub(crate) fn pieces(self, column: usize, count: usize) -> ([Piece; 16], usize) {
        assert!(count <= 16 && column + count <= self.length(), "columns beyond the matrix");
        let (mut line, mut within) = (column / self.width, column % self.width);
        let (mut pieces, mut found, mut done) = ([Piece::default(); 16], 0, 0);
        while done < count {
            let length = (self.width - within).min(count - done);
            let offset = (self.lines[line] + within).wrapping_sub(done);
            pieces[found] = Piece { offset, lanes: (u16::MAX >> (16 - length)) << done };
            (line, within, found, done) = (line + 1, 0, found + 1, done + length);
        }
        (pieces, found)
    }

    /// The stored rows one after the other, without gaps.
    pub(crate) fn copied(self, threads: Threads) -> Vec<f32> {
        let mut values = vec![0.0; self.starts.len() * self.length()];
        let fill = |(into, start): (&mut [f32], &usize)| {
            for (into, line) in into.chunks_exact_mut(self.width).zip(self.lines) {
                into.copy_from_slice(&self.values[start + line..][..self.width]);
            }
        };
        let length = self.length().max(1);
        match threads {
            Threads::This => values.chunks_exact_mut(length).zip(self.starts).for_each(fill),
            Threads::Pool => values.par_chunks_exact_mut(length).zip(self.starts).for_each(fill),
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [usize; 3] = [0, 7, 2];

    #[test]
    fn rows_are_lines_from_their_start() {
        let values: Vec<f32> = (0..20).map(|value| value as f32).collect();
        let matrix = Pieced::new(&values, &[1, 5], &LINES, 3);
        let row = |start: f32| [0., 1., 2., 7., 8., 9., 2., 3., 4.].map(|value| value + start);
        assert_eq!(matrix.copied(Threads::This), [row(1.0), row(5.0)].concat());
        assert_eq!(((matrix.rows(), matrix.columns()), matrix.value(1, 4)), ((2, 9), 13.0));
        let turned = matrix.transposed();
        assert_eq!(((turned.rows(), turned.columns()), turned.value(4, 1)), ((9, 2), 13.0));
    }

    #[test]
    fn pieces_end_where_lines_end() {
        let values = [0.0; 12];
        let (pieces, count) = Pieced::new(&values, &[0, 2], &LINES, 3).pieces(2, 6);
        let piece = |offset: isize, lanes| Piece { offset: offset as usize, lanes };
        assert_eq!(pieces[..count], [piece(2, 0b1), piece(6, 0b1110), piece(-2, 0b11_0000)]);
    }

    #[test]
    #[should_panic(expected = "exceeds")]
    fn a_matrix_cannot_exceed_its_values() {
        Pieced::new(&[0.0; 11], &[0, 2], &LINES, 3);
    }

    #[test]
    #[should_panic(expected = "exceeds")]
    fn huge_starts_do_not_wrap() {
        Pieced::new(&[0.0; 11], &[usize::MAX], &LINES, 3);
    }
}
