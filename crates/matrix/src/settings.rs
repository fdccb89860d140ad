//! What a caller decides about a product besides its operands.

use std::fmt;

/// Where a product is computed. Its bits do not depend on the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// On the calling thread; no pool is touched.
    This,
    /// On rayon's current pool.
    Pool,
}

/// Which kernels compute a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// The fastest that this CPU has.
    Native,
    /// Those that every CPU has: the `gemm` crate for f32, the emulation of the matrix unit for bf16. The bits of
    /// bf16 products are those of [`Kernels::Native`]; those of f32 products may differ from them.
    Portable,
}

/// Is given each finished stretch of the result, `(row, first column, values)`, while it is in the cache, and may
/// change it: a bias, an activation, a residual. Every element is seen once; the stretches and their order are
/// not specified, and several threads may call at once.
pub type Epilogue<'a> = &'a (dyn Fn(usize, usize, &mut [f32]) + Sync);

/// How a product is computed and what becomes of it: `epilogue(factor a b)`, or `epilogue(out + factor a b)`.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// Multiplies the product. Default: 1.
    pub factor: f32,
    /// Whether the product is added to what the result holds. Default: it replaces that.
    pub accumulate: bool,
    /// Where the product is computed. Default: on the pool.
    pub threads: Threads,
    /// What is done with each finished stretch. Default: nothing.
    pub epilogue: Option<Epilogue<'a>>,
    /// Which kernels compute an unpacked product; a packed operand has chosen already. Default: native ones.
    pub kernels: Kernels,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            factor: 1.0,
            accumulate: false,
            threads: Threads::Pool,
            epilogue: None,
            kernels: Kernels::Native,
        }
    }
}

impl fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("factor", &self.factor)
            .field("accumulate", &self.accumulate)
            .field("threads", &self.threads)
            .field("epilogue", &self.epilogue.map(|_| "Fn"))
            .field("kernels", &self.kernels)
            .finish()
    }
}
