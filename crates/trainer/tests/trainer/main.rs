//! Methods and the training loop against recorded references. One binary, so that Burn is linked once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod masks;
mod objectives;
mod prompts;
mod simclr;
mod support;
mod tes;
mod world_clip;
