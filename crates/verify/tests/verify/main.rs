//! The recorded cases of this workspace, found and run as `cargo xtask verify` does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod methods;
