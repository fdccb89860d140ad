#![doc = include_str!("../README.md")]

mod bf16;
mod blocks;
mod lines;
mod matrix;
mod operand;
mod packed;
mod pieced;
mod portable;
mod precision;
mod product;
mod settings;
mod source;

#[cfg(target_arch = "x86_64")]
mod avx512;

pub use bf16::amx_available;
pub use matrix::{Matrix, MatrixMut};
pub use packed::Packed;
pub use pieced::Pieced;
pub use precision::{ParsePrecisionError, Precision};
pub use product::{product, product_masked, product_packed};
pub use settings::{Epilogue, Kernels, Settings, Threads};
pub use source::Source;
