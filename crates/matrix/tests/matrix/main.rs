//! Products against references: values, bits, and the ends of memory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

mod bits;
mod operands;
mod pages;
mod pieces;
mod values;
