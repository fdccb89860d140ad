//! How the fused operations multiply: in which precision, and where.
//!
//! The precision is that of the thread at the time of the forward pass, so that layers need not hand it down. Operations
//! keep it for their backward pass.

use std::cell::Cell;

use regulus_matrix::{Kernels, Matrix, MatrixMut, Precision, Settings, Threads, product};

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Sets the precision until it is dropped, however the work ends.
struct Restored(Precision);

impl Drop for Restored {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// The result of `work`, in which the operations of this crate that this thread calls multiply matrices in `precision`
/// on the flex backend, in f32 tensors. So do their backward passes, whenever they run. Without this it is f32. Other
/// backends and 16-bit tensors multiply as they do.
pub fn multiplying_in<A>(precision: Precision, work: impl FnOnce() -> A) -> A {
    let _until_the_end = Restored(CURRENT.replace(precision));
    work()
}

/// The precision in which operations of this thread multiply.
pub(crate) fn precision() -> Precision {
    CURRENT.get()
}

/// In which precision and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    precision: Precision,
    threads: Threads,
    kernels: Kernels,
}

impl How {
    /// On the calling thread.
    pub(crate) fn here(precision: Precision) -> Self {
        Self { precision, threads: Threads::This, kernels: Kernels::Native }
    }

    /// On rayon's current pool.
    pub(crate) fn pooled(precision: Precision) -> Self {
        Self { precision, threads: Threads::Pool, kernels: Kernels::Native }
    }
}

impl How {
    /// The same by other kernels.
    pub(crate) fn by(self, kernels: Kernels) -> Self {
        Self { kernels, ..self }
    }
}

/// Matrices that take products.
pub(crate) trait Multiply {
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
