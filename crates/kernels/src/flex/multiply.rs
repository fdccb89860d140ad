//! Products as the operations call them: in which precision, and on which threads.

use regulus_matrix::{MatrixMut, Precision, Settings, Source, Threads, product};

/// In which precision and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    precision: Precision,
    threads: Threads,
}

impl How {
    /// On the calling thread.
    pub(super) fn here(precision: Precision) -> Self {
        Self { precision, threads: Threads::This }
    }

    /// On rayon's current pool.
    pub(super) fn pooled(precision: Precision) -> Self {
        Self { precision, threads: Threads::Pool }
    }
}

/// Matrices that take products.
pub(super) trait Multiply {
    /// Sets the matrix to `factor a b`.
    fn set_product<'a>(self, a: impl Into<Source<'a>>, b: impl Into<Source<'a>>, factor: f32, how: How);

    /// Adds `factor a b` to the matrix.
    fn add_product<'a>(self, a: impl Into<Source<'a>>, b: impl Into<Source<'a>>, factor: f32, how: How);
}

impl Multiply for MatrixMut<'_> {
    fn set_product<'a>(self, a: impl Into<Source<'a>>, b: impl Into<Source<'a>>, factor: f32, how: How) {
        let How { precision, threads } = how;
        product(self, a, b, precision, &Settings { factor, threads, ..Settings::default() });
    }

    fn add_product<'a>(self, a: impl Into<Source<'a>>, b: impl Into<Source<'a>>, factor: f32, how: How) {
        let How { precision, threads } = how;
        let settings = Settings { factor, threads, accumulate: true, ..Settings::default() };
        product(self, a, b, precision, &settings);
    }
}
