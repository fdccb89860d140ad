//! Matrix products for layers that run on the CPU, in three precisions.
//!
//! A linear layer of a frozen model multiplies by the same weights in every step, its gradient multiplies by
//! their transpose, and attention multiplies thousands of small matrices with strided rows. This crate serves
//! the three with one interface: [`product`] takes both operands as they lie in memory, [`product_packed`] takes
//! a right-hand side that was put into the order of the kernels once ([`Packed`]), and an [`Epilogue`] sees each
//! finished block while it is in the cache.
//!
//! The [`Precision`] is the caller's choice: true f32, one product of bf16 values, or three of them that
//! together nearly reach f32. The bf16 products run on the matrix unit of the CPU (AMX) where there is one, and
//! are emulated to the bit elsewhere, so that a result does not depend on the machine. F32 products do: other
//! CPUs use the `gemm` crate.
//!
//! A result never depends on the number of threads.

mod bf16;
mod blocks;
mod lines;
mod matrix;
mod operand;
mod packed;
mod portable;
mod precision;
mod product;
mod settings;

#[cfg(target_arch = "x86_64")]
mod avx512;

pub use bf16::amx_available;
pub use matrix::{Matrix, MatrixMut};
pub use packed::Packed;
pub use precision::{ParsePrecisionError, Precision};
pub use product::{product, product_packed};
pub use settings::{Epilogue, Kernels, Settings, Threads};
