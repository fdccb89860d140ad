//! Methods and the training loop against recorded references. One binary, so that Burn is linked once.

mod objectives;
mod support;
mod trajectories;
mod world_clip;
