//! Every loss against its recorded values, its properties and its gradients.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aggregation_properties;
mod agreement_properties;
mod devices;
mod finite_differences;
mod golden_gpa;
mod golden_promptsrc;
mod golden_proreg;
mod golden_ramt;
mod golden_tes;
mod mask_properties;
mod projection_properties;
mod properties;
mod recorded;
mod views;
