//! Fetching from a mock hub on this machine: what is asked for, what is cached, and what goes wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod breaking;
mod cached;
mod files;
mod home;
mod hostile;
mod mock;
mod refused;
mod whole;
