//! The aggregation of prompts over epochs.

use super::agreement::settings;
use super::notes::Notes;
use crate::checks::Checks;
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use regulus_losses::{Aggregation, RunningAggregate};
use serde_json::Value;

/// Of weights and sums in f64.
const DOUBLE: f64 = 1e-12;
/// Of parameters in f32.
const SINGLE: f64 = 1e-6;
/// Half a unit in the last place of a half-precision number of the size 1.
const HALF: f64 = 1.0 / 2048.0;
/// The same of the smallest half-precision numbers.
const SMALLEST_HALF: f64 = 1.0 / 33_554_432.0;

/// Whether the case records parameters epoch by epoch.
pub(crate) fn recognises(io: &Recorded) -> bool {
    io.names().any(|name| name.ends_with(".snapshots"))
}

pub(crate) fn run(io: &Recorded, notes: &Notes, rows: &mut Vec<Row>) -> Result<(), CaseError> {
    settings(io, notes, rows, |checks, case| setting(checks, notes, case))
}

fn setting(checks: &mut Checks<'_>, notes: &Notes, case: &Value) -> Result<(), CaseError> {
    let io = checks.recorded;
    let key = notes.text_in(case, "key")?;
    let name = |part: &str| format!("{key}.{part}");
    let aggregation =
        Aggregation::Gaussian { mean: notes.number_in(case, "mean")?, std: notes.number_in(case, "std")? };
    let epochs = notes.size_in(case, "epochs")?;
    let failed = |error: regulus_losses::AggregationError| CaseError::Unsupported(format!("{key}: {error}"));
    let weights = aggregation.weights(epochs).map_err(failed)?;
    checks.relative(&name("weights"), &weights, &io.flat(&name("weights"))?, DOUBLE);

    let (snapshots, shape) = io.values(&name("snapshots"))?;
    let length = shape.iter().skip(1).product::<usize>().max(1);
    let mut aggregate = RunningAggregate::new(aggregation, epochs).map_err(failed)?;
    // How far an aggregate may be off that rounds every snapshot, product and partial sum to half precision.
    let mut halved = vec![0.0; length];
    for (snapshot, weight) in snapshots.chunks(length).zip(&weights) {
        let single: Vec<f32> = snapshot.iter().map(|value| *value as f32).collect();
        aggregate.add(&single).map_err(failed)?;
        for ((bound, value), sum) in halved.iter_mut().zip(snapshot).zip(aggregate.sum()) {
            *bound += HALF * (2.0 * (weight * value).abs() + sum.abs()) + (weight + 2.0) * SMALLEST_HALF;
        }
    }
    checks.values(&name("aggregate"), aggregate.sum(), &io.flat(&name("aggregate"))?, DOUBLE);
    let rounded = aggregate.finish().map_err(failed)?;
    let rounded: Vec<f64> = rounded.into_iter().map(f64::from).collect();
    if io.has(&name("aggregate_f32")) {
        checks.values(&name("aggregate_f32"), &rounded, &io.flat(&name("aggregate_f32"))?, SINGLE);
    }
    if io.has(&name("aggregate_f16_rounded")) {
        let expected = io.flat(&name("aggregate_f16_rounded"))?;
        checks.in_units(&name("aggregate_f16_rounded"), &rounded, &expected, &halved, 1.0);
    }
    Ok(())
}
