//! Cases of methods: `NAME.safetensors` with `NAME.json`, or learning rates in JSON alone.

mod agreement;
mod gpa;
mod lbfgs;
mod metrics;
mod notes;
mod promptsrc;
mod proreg;
mod ramt;
pub(crate) mod rates;
mod tes;
mod trajectories;

use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::Device;
use notes::Notes;
use std::path::Path;

/// Runs a case: which one it is follows from what its notes and tensors hold.
pub(crate) fn run(
    tensors: &Path,
    notes: &Path,
    device: &Device,
    rows: &mut Vec<Row>,
) -> Result<(), CaseError> {
    let (io, notes) = (Recorded::open(tensors)?, Notes::open(notes)?.on(device));
    let device = &device.clone().autodiff();
    let method = notes.text("method").unwrap_or_default();
    if proreg::recognises(&io, &notes) {
        proreg::run(&io, &notes, device, rows)
    } else if promptsrc::recognises(&io) {
        promptsrc::run(&io, &notes, device, rows)
    } else if tes::recognises(&io) {
        tes::run(&io, &notes, device, rows)
    } else if ramt::recognises(&io) {
        ramt::run(&io, &notes, device, rows)
    } else if gpa::recognises(&io) {
        gpa::run(&io, &notes, rows)
    } else if metrics::recognises(&io, &notes) {
        metrics::run(&io, &notes, rows)
    } else if lbfgs::recognises(&io) {
        lbfgs::run(&io, &notes, rows)
    } else if io.has("loss") || io.has("out.logits") {
        trajectories::run(tensors, &io, &notes, device, rows)
    } else {
        let names: Vec<&str> = io.names().take(3).collect();
        Err(CaseError::Unsupported(format!(
            "no method here knows this case{}{method} (its tensors begin with {names:?})",
            if method.is_empty() { "" } else { " of " }
        )))
    }
}

/// Runs a case of learning rates.
pub(crate) fn run_rates(notes: &Path, rows: &mut Vec<Row>) -> Result<(), CaseError> {
    rates::run(&Notes::open(notes)?, rows)
}
