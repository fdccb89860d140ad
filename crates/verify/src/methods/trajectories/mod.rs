//! Trajectories: a few steps of training from a recorded start over recorded batches.

mod fine_tuning;
mod linear_probe;
mod masks;
mod prompts;
mod start;
mod tes;
mod zero_shot;

use super::notes::Notes;
use crate::checks::{Checks, host};
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::Device;
use regulus_trainer::batches::BatchSource;
use regulus_trainer::method::Method;
use regulus_trainer::parameters::Parameters;
use regulus_trainer::recorder::Recorder;
use regulus_trainer::training::{Taken, TrainingConfig, train};
use start::Start;
use std::path::Path;

/// Runs the trajectory whose tensors are at `path`; what it starts from lies beside it.
pub(crate) fn run(
    path: &Path,
    io: &Recorded,
    notes: &Notes,
    device: &Device,
    rows: &mut Vec<Row>,
) -> Result<(), CaseError> {
    let start = Start::beside(path, device)?;
    let mut checks = Checks::new(io, "", rows);
    if io.has("out.ensemble_unit_first") {
        zero_shot::run(&mut checks, notes, &start)?;
    } else if let Some(kind) = prompts::recognised(notes) {
        prompts::run(&mut checks, notes, &start, kind)?;
    } else if let Some(loss) = notes.text("loss").filter(|_| notes.flag("head_trained").is_ok()) {
        fine_tuning::run(&mut checks, notes, &start, loss)?;
    } else if io.has("init.weight") && io.has("out.features") {
        linear_probe::run(&mut checks, notes, &start)?;
    } else if notes.get("masked").is_array() {
        masks::run(&mut checks, notes, &start)?;
    } else if tes::recognises(notes) {
        tes::run(&mut checks, notes, &start)?;
    } else {
        let method = method(io, notes);
        return Err(CaseError::Unsupported(format!("{method} is a method that is not built here yet")));
    }
    checks.finish();
    Ok(())
}

/// What a trajectory says that its method is.
fn method(io: &Recorded, notes: &Notes) -> String {
    match notes.text("method") {
        Some(method) => method.to_string(),
        None => format!("what {:?} records", io.path().file_stem().unwrap_or_default()),
    }
}

/// A finished run with its parameters before the first step and after each.
struct Trained {
    recorder: Recorder,
    parameters: Vec<Parameters>,
    /// What the run ended with: the last of them, or their aggregate.
    result: Parameters,
}

impl Trained {
    /// The parameters after the last step.
    fn last(&self) -> &Parameters {
        &self.parameters[self.parameters.len() - 1]
    }
}

/// Trains over the recorded batches and compares losses and learning rates.
fn trained(
    checks: &mut Checks<'_>,
    notes: &Notes,
    start: &Start,
    method: &mut dyn Method,
    config: &TrainingConfig,
) -> Result<Trained, CaseError> {
    let outcome = stepped(method, &start.batches()?, config)?;
    let losses: Vec<f64> = outcome.recorder.steps().iter().map(|record| record.loss).collect();
    let expected = checks.recorded.flat("loss")?;
    checks.values("loss", &losses, &expected, notes.tolerance("loss", 1e-5));
    learning_rates(checks, notes, &outcome);
    Ok(outcome)
}

/// Trains over recorded batches.
fn stepped(
    method: &mut dyn Method,
    batches: &dyn BatchSource,
    config: &TrainingConfig,
) -> Result<Trained, CaseError> {
    let mut recorder = Recorder::in_memory();
    let mut parameters = vec![method.parameters()];
    let mut observe = |taken: Taken<'_>| parameters.push(taken.parameters.clone());
    let result = train(method, batches, config, &mut recorder, &mut observe)
        .map_err(|error| CaseError::Unsupported(error.to_string()))?;
    Ok(Trained { recorder, parameters, result })
}

/// Compares the learning rates of every step or epoch, whichever is recorded.
fn learning_rates(checks: &mut Checks<'_>, notes: &Notes, outcome: &Trained) {
    let numbers = |rates: &[serde_json::Value]| -> Vec<f64> {
        rates.iter().filter_map(serde_json::Value::as_f64).collect()
    };
    let steps = outcome.recorder.steps();
    if let Ok(rates) = notes.list("lr_per_step") {
        let found: Vec<f64> = steps.iter().map(|record| record.learning_rate).collect();
        checks.relative("learning rates", &found, &numbers(rates), 1e-12);
    }
    if let Ok(rates) = notes.list("lr_per_epoch") {
        let of_epoch = |epoch| steps.iter().find(|record| record.epoch == epoch);
        let found: Vec<f64> =
            (0..rates.len()).filter_map(of_epoch).map(|record| record.learning_rate).collect();
        checks.relative("learning rates", &found, &numbers(rates), 1e-12);
    }
}

/// The values of the parameter `name`.
fn values(parameters: &Parameters, name: &str) -> Result<Vec<f64>, CaseError> {
    let leaf =
        parameters.get(name).ok_or_else(|| CaseError::Unsupported(format!("{name} is not trained here")))?;
    host(&leaf.value).map_err(CaseError::Unsupported)
}
