//! Mask tuning where no trajectory is recorded.

mod gradients;
mod importance;
mod method;
pub mod models;
mod runs;
