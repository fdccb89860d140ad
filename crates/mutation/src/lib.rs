#![doc = include_str!("../README.md")]

mod allocator;
mod mutator;
mod target;
mod watch;

pub use allocator::CountingAllocator;
pub use mutator::Mutator;
pub use target::{Limits, Report, Target};
