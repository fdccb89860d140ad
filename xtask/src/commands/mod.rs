//! One file per command.

pub mod bench;
pub mod check;
pub mod data;
pub mod devices;
pub mod eval;
pub mod export;
pub mod fetch;
pub mod importance;
pub mod predict;
pub mod pretrain;
pub mod published;
pub mod reproduce;
pub mod run_experiment;
pub mod train;
pub mod verify;
