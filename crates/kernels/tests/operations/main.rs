//! Every operation, fused and plain, against f64 arithmetic, against each other, and across threads.

mod autodiff;
mod cases;
mod exact;
mod features;
mod gradients;
#[cfg(feature = "flex")]
mod threads;
