//! Every operation, fused and plain, against f64 arithmetic, against each other, and across threads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod autodiff;
mod cases;
mod convolution;
mod exact;
mod features;
mod gradients;
mod masked;
#[cfg(feature = "flex")]
mod memory;
mod packed;
#[cfg(feature = "flex")]
mod precisions;
mod replay;
#[cfg(feature = "flex")]
mod threads;
