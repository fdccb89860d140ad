//! Mask tuning where no trajectory is recorded.

mod gradients;
mod importance;
mod method;
mod models;
mod runs;
