//! What a run will cost, before anything is loaded: the memory at its peak and about the time.
//!
//! Both follow from sizes alone: of the model, which its files describe, of the data, which have been listed, and of
//! the method. A run that cannot fit is refused in a second instead of being killed after an hour, with the change that
//! would make it fit. `docs/reference/memory.md` has the formula and what was measured.

mod advice;
mod available;
mod blocks;
mod demand;
mod encoder;
mod memory;
mod packed;
mod sizes;
mod speed;
mod work;

pub use crate::memory_budget::parse_size;
pub use advice::{Advice, advice};
pub use available::{SizeError, VARIABLE, available};
pub use memory::{MemoryEstimate, bytes, classes_at_once, memory};
pub use sizes::{Sizes, SizesError};
pub use speed::speed;
pub use work::{duration, operations};

#[cfg(test)]
mod tests;
