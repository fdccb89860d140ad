//! The real binary, from arguments to files: what a user sees.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod adapters;
mod data;
mod documents;
mod encoders;
mod errors;
mod help;
mod importance;
mod masks;
mod memory;
mod pretrain;
mod reproduce;
mod resume;
mod support;
mod train;
mod verify;
