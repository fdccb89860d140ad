//! Tests of the crate through its public interface.

mod common;
mod files;
mod golden;
mod hub_formats;
mod injection;
mod mutations;
mod parameters;
