//! Methods and the training loop against recorded references. One binary, so that Burn is linked once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod accumulation;
mod adaptation;
#[cfg(all(feature = "flex", any(feature = "ndarray", feature = "wgpu", feature = "cuda", feature = "rocm")))]
mod backends;
mod baselines;
mod composition_table;
mod encoder_masks;
mod encoder_runs;
mod encoder_tuning;
mod ensemble;
#[cfg(feature = "flex")]
mod full_size;
mod masks;
#[cfg(feature = "flex")]
mod matmul;
mod objectives;
mod originals;
mod precision;
mod prompts;
mod savings;
mod selection;
mod simclr;
mod support;
mod world_backbone;
mod world_clip;
mod your_own_method;
