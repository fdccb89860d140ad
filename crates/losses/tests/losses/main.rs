//! Every loss against its recorded values, its properties and its gradients.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod devices;
mod golden_proreg;
mod properties;
