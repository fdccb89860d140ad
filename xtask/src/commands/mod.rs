//! One file per command.

pub mod bench;
pub mod check;
pub mod data;
pub mod importance;
pub mod pretrain;
pub mod reproduce;
pub mod run_experiment;
pub mod train;
pub mod verify;
