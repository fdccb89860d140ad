//! The real binary, from arguments to files: what a user sees.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod adapters;
mod bench;
mod cache;
mod data;
mod devices;
mod documents;
mod encoders;
mod errors;
mod fetch;
mod forgetting;
mod help;
mod importance;
mod masks;
mod memory;
#[allow(dead_code, reason = "the tests of the data sets use more of it")]
#[path = "../../../crates/datasets/tests/miniature/mod.rs"]
mod miniature;
#[allow(dead_code, reason = "the tests of the hub's client use more of it")]
#[path = "../../../crates/hub/tests/hub/mock/mod.rs"]
mod mock;
mod pretrain;
mod published;
mod rendered;
mod reproduce;
mod resume;
mod support;
mod train;
mod verify;
