//! Products as the operations call them: in which precision, on which threads, by which kernels.

use regulus_matrix::{Kernels, Matrix, MatrixMut, Precision, Settings, Threads, product};

/// In which precision and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    precision: Precision,
    threads: Threads,
    kernels: Kernels,
}

impl How {
    /// On the calling thread.
    pub(super) fn here(precision: Precision) -> Self {
        Self { precision, threads: Threads::This, kernels: Kernels::Native }
    }

    /// On rayon's current pool.
    pub(super) fn pooled(precision: Precision) -> Self {
        Self { precision, threads: Threads::Pool, kernels: Kernels::Native }
    }

    /// The same by other kernels.
    pub(super) fn by(self, kernels: Kernels) -> Self {
        Self { kernels, ..self }
    }
}

/// Matrices that take products.
pub(super) trait Multiply {
    /// Sets the matrix to `factor a b`.
    fn set_product(self, a: Matrix, b: Matrix, factor: f32, how: How);

    /// Adds `factor a b` to the matrix.
    fn add_product(self, a: Matrix, b: Matrix, factor: f32, how: How);
}

impl Multiply for MatrixMut<'_> {
    fn set_product(self, a: Matrix, b: Matrix, factor: f32, how: How) {
        let How { precision, threads, kernels } = how;
        product(self, a, b, precision, &Settings { factor, threads, kernels, ..Settings::default() });
    }

    fn add_product(self, a: Matrix, b: Matrix, factor: f32, how: How) {
        let How { precision, threads, kernels } = how;
        let settings = Settings { factor, threads, kernels, accumulate: true, ..Settings::default() };
        product(self, a, b, precision, &settings);
    }
}
