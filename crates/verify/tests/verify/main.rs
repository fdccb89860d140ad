//! Recorded cases pass, and what is wrong in any way fails and says why.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod failing;
mod methods;
mod passing;
mod support;
