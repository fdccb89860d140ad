//! Matrices on borrowed slices. All pointer arithmetic of the crate rests on what their constructors
//! and that of [`crate::Pieced`] check.

use std::marker::PhantomData;
use std::ops::Range;

/// A read-only matrix with any strides.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `rows` of `columns` values each, starting every `stride` values.
    ///
    /// # Panics
    /// If the matrix exceeds its values.
    pub fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self::with_strides(values, rows, columns, stride, 1)
    }

    /// A matrix whose element `(i, j)` is the value at `i * row_stride + j * column_stride`.
    ///
    /// # Panics
    /// If the matrix exceeds its values.
    pub fn with_strides(
        values: &'a [f32],
        rows: usize,
        columns: usize,
        row_stride: usize,
        column_stride: usize,
    ) -> Self {
        assert!(
            fits(values.len(), rows, columns, row_stride, column_stride),
            "the matrix exceeds its values"
        );
        Self { values, rows, columns, row_stride, column_stride, transposed: false }
    }

    /// The transpose, without moving a value.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            transposed: !self.transposed,
            ..self
        }
    }

    /// The elements that lie in both ranges.
    ///
    /// # Panics
    /// If a range exceeds the matrix.
    pub fn part(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        assert!(
            rows.start <= rows.end && rows.end <= self.rows,
            "rows {rows:?} of a matrix of {} rows",
            self.rows
        );
        assert!(
            columns.start <= columns.end && columns.end <= self.columns,
            "columns {columns:?} of a matrix of {} columns",
            self.columns
        );
        let values = if rows.is_empty() || columns.is_empty() {
            &[]
        } else {
            &self.values[rows.start * self.row_stride + columns.start * self.column_stride..]
        };
        Self { values, rows: rows.len(), columns: columns.len(), ..self }
    }

    /// The number of rows.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(self) -> usize {
        self.columns
    }

    pub(crate) fn values(self) -> &'a [f32] {
        self.values
    }

    pub(crate) fn row_stride(self) -> usize {
        self.row_stride
    }

    pub(crate) fn column_stride(self) -> usize {
        self.column_stride
    }

    /// Whether the matrix is the transpose of the stored one.
    pub(crate) fn is_transposed(self) -> bool {
        self.transposed
    }
}

/// A matrix that takes a product: distinct rows of adjacent values.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: a matrix is an exclusive borrow of its elements, as a `&mut [f32]` is.
#[allow(unsafe_code)]
unsafe impl Send for MatrixMut<'_> {}

impl<'a> MatrixMut<'a> {
    /// `rows` of `columns` values each, starting every `stride` values.
    ///
    /// # Panics
    /// If the matrix exceeds its values or its rows overlap.
    pub fn new(values: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(values.len(), rows, columns, stride, 1), "the matrix exceeds its values");
        assert!(columns <= stride, "the rows of the result overlap");
        Self { start: values.as_mut_ptr(), rows, columns, stride, borrow: PhantomData }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// From the start of a row to that of the next one.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The first element. Valid for `columns` values at each of the `rows` multiples of the stride.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.start
    }

    #[allow(unsafe_code)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the row is one of those that the constructor found within the values, which are borrowed
        // exclusively, as this matrix is.
        unsafe { std::slice::from_raw_parts_mut(self.start.wrapping_add(row * self.stride), self.columns) }
    }

    /// Asks for the rows to be brought to the cache, to be written.
    #[inline]
    pub(crate) fn prefetch(&mut self) {
        #[cfg(target_arch = "x86_64")]
        for row in 0..self.rows {
            let row = self.start.wrapping_add(row * self.stride);
            for column in (0..self.columns).step_by(16) {
                prefetch(row.wrapping_add(column));
            }
        }
    }

    /// The elements that lie in both ranges.
    pub(crate) fn part(&mut self, rows: Range<usize>, columns: Range<usize>) -> MatrixMut<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "the rows exceed the result");
        assert!(columns.start <= columns.end && columns.end <= self.columns, "the columns exceed the result");
        MatrixMut {
            start: self.start.wrapping_add(rows.start * self.stride + columns.start),
            rows: rows.len(),
            columns: columns.len(),
            stride: self.stride,
            borrow: PhantomData,
        }
    }

    /// The rows before `row`, and the others.
    pub(crate) fn split_rows(self, row: usize) -> (Self, Self) {
        assert!(row <= self.rows, "the rows exceed the result");
        let start = self.start.wrapping_add(row * self.stride);
        (Self { rows: row, ..self }, Self { start, rows: self.rows - row, ..self })
    }

    /// The columns before `column`, and the others.
    pub(crate) fn split_columns(self, column: usize) -> (Self, Self) {
        assert!(column <= self.columns, "the columns exceed the result");
        let start = self.start.wrapping_add(column);
        (Self { columns: column, ..self }, Self { start, columns: self.columns - column, ..self })
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)]
fn prefetch(place: *const f32) {
    use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
    // SAFETY: a prefetch of any address is a hint without an effect on memory.
    unsafe { _mm_prefetch::<_MM_HINT_ET0>(place.cast()) };
}

/// Whether the last of `rows` by `columns` elements lies within `length` values.
fn fits(length: usize, rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> bool {
    if rows == 0 || columns == 0 {
        return true;
    }
    let last = |count: usize, stride: usize| (count - 1).checked_mul(stride);
    last(rows, row_stride)
        .zip(last(columns, column_stride))
        .and_then(|(row, column)| row.checked_add(column))
        .is_some_and(|last| last < length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_place() {
        let mut values = [0.0; 12];
        let mut matrix = MatrixMut::new(&mut values, 3, 3, 4);
        matrix.part(1..3, 1..2).row(1)[0] = 7.0;
        let (_, right) = matrix.split_columns(2);
        let (mut top, _) = right.split_rows(1);
        top.row(0)[0] = 5.0;
        assert_eq!(values, [0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0, 0.0, 0.0]);
        let part = Matrix::new(&values, 3, 3, 4).transposed().part(1..3, 0..3);
        assert_eq!((part.values()[0], part.values()[1], part.values()[8]), (0.0, 5.0, 7.0));
    }

    #[test]
    fn empty_matrices_fit_anywhere() {
        Matrix::new(&[], 0, 7, 7);
        Matrix::new(&[], 7, 0, 0).transposed().part(0..0, 7..7);
        MatrixMut::new(&mut [], 7, 0, 0);
    }

    #[test]
    #[should_panic(expected = "exceeds")]
    fn a_matrix_cannot_exceed_its_values() {
        Matrix::new(&[0.0; 5], 2, 3, 3);
    }

    #[test]
    #[should_panic(expected = "exceeds")]
    fn huge_strides_do_not_wrap() {
        Matrix::with_strides(&[0.0; 5], 3, 3, usize::MAX / 2 + 1, 1);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn rows_of_a_result_cannot_overlap() {
        MatrixMut::new(&mut [0.0; 5], 2, 3, 2);
    }
}
