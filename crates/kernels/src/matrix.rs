//! Matrix products on slices: a checked interface to the `gemm` crate, whose kernels Burn uses as well.

use gemm::Parallelism;

/// A read-only matrix with any strides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` of `columns` values each, starting every `stride` values.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(values.len(), rows, columns, stride), "the matrix exceeds its values");
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix that takes a product.
#[derive(Debug)]
pub(crate) struct MatrixMut<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// `rows` of `columns` values each, starting every `stride` values.
    pub(crate) fn new(values: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(values.len(), rows, columns, stride), "the matrix exceeds its values");
        assert!(columns <= stride, "the rows of the result overlap");
        Self { values, rows, columns, row_stride: stride }
    }

    /// Sets the matrix to `factor a b`.
    pub(crate) fn set_product(self, a: Matrix, b: Matrix, factor: f32, threads: Threads) {
        self.product(false, a, b, factor, threads);
    }

    /// Adds `a b` to the matrix.
    pub(crate) fn add_product(self, a: Matrix, b: Matrix, threads: Threads) {
        self.product(true, a, b, 1.0, threads);
    }

    /// Adds `factor a b` to the matrix.
    pub(crate) fn add_scaled_product(self, a: Matrix, b: Matrix, factor: f32, threads: Threads) {
        self.product(true, a, b, factor, threads);
    }

    #[allow(unsafe_code)]
    fn product(self, add: bool, a: Matrix, b: Matrix, factor: f32, threads: Threads) {
        assert!(
            a.columns == b.rows && self.rows == a.rows && self.columns == b.columns,
            "the shapes of the matrices do not agree"
        );
        let parallelism = match threads {
            Threads::This => Parallelism::None,
            Threads::Pool => Parallelism::Rayon(0),
        };
        // SAFETY: the constructors checked that every row and column lies within its slice and that the
        // rows of the result do not overlap; the exclusive borrow keeps the result apart from the operands.
        unsafe {
            gemm::gemm(
                self.rows,
                self.columns,
                a.columns,
                self.values.as_mut_ptr(),
                1,
                self.row_stride as isize,
                add,
                a.values.as_ptr(),
                a.column_stride as isize,
                a.row_stride as isize,
                b.values.as_ptr(),
                b.column_stride as isize,
                b.row_stride as isize,
                1.0,
                factor,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

/// Where a product is computed. Its bits do not depend on the choice.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Threads {
    /// On the calling thread.
    This,
    /// On rayon's current pool.
    Pool,
}

/// Whether `rows` of `columns` values, starting every `stride` values, lie within `length` values.
fn fits(length: usize, rows: usize, columns: usize, stride: usize) -> bool {
    match rows.checked_sub(1) {
        None => true,
        Some(last) => last
            .checked_mul(stride)
            .and_then(|start| start.checked_add(columns))
            .is_some_and(|end| end <= length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_follow_the_strides() {
        let a = [1.0, 2.0, 9.0, 3.0, 4.0];
        let b = [1.0, 0.0, 1.0, 2.0];
        let (a, b) = (Matrix::new(&a, 2, 2, 3), Matrix::new(&b, 2, 2, 2));
        let mut product = [7.0; 6];
        MatrixMut::new(&mut product, 2, 2, 4).set_product(a, b.transposed(), 2.0, Threads::This);
        assert_eq!(product, [2.0, 10.0, 7.0, 7.0, 6.0, 22.0]);
        MatrixMut::new(&mut product, 2, 2, 4).add_product(a, b, Threads::Pool);
        assert_eq!(product, [5.0, 14.0, 7.0, 7.0, 13.0, 30.0]);
    }

    #[test]
    #[should_panic(expected = "exceeds")]
    fn a_matrix_cannot_exceed_its_values() {
        Matrix::new(&[0.0; 5], 2, 3, 3);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn rows_of_a_result_cannot_overlap() {
        MatrixMut::new(&mut [0.0; 5], 2, 3, 2);
    }
}
