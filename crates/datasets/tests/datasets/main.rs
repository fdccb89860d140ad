//! Published data sets, manifests, sampling and protocols, on miniatures in the exact layouts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use regulus_mutation::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

mod check;
mod cifar;
mod dassl;
mod hostile;
mod layouts;
mod loader;
mod loader_cache;
mod loader_store;
#[path = "../miniature/mod.rs"]
mod miniature;
mod mutations;
mod protocols;
mod reference_page;
mod scale;
