#![doc = include_str!("../README.md")]

mod checks;
mod discover;
mod error;
mod methods;
mod models;
mod recorded;
mod report;

pub use discover::{Case, DiscoverError, find_cases};
pub use error::CaseError;
pub use report::{CaseReport, Row};

use burn::tensor::Device;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a case and compares every tensor that it records. Whatever goes wrong is part of the report.
pub fn verify(case: &Case, device: &Device) -> CaseReport {
    let mut rows = Vec::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| match case {
        Case::Model(folder) => models::run(folder, device, &mut rows),
        Case::Method { tensors, notes } => methods::run(tensors, notes, device, &mut rows),
        Case::Rates(notes) => methods::run_rates(notes, &mut rows),
    }));
    let failure = match outcome {
        Ok(Ok(())) if rows.is_empty() => Some("the case records nothing that could be compared".to_string()),
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(panic) => Some(format!("the computation broke off: {}", message(panic.as_ref()))),
    };
    CaseReport { name: case.name(), rows, failure }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}
