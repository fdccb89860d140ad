//! Readers of checkpoints: what torch wrote is read to the last bit, and nothing that is wrong does harm.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod builders;
mod hostile;
mod mutations;
mod recorded;
mod refused;
mod structures;

use regulus_mutation::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
