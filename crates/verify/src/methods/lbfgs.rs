//! The linear probe's optimum for several regularisation strengths.

use super::notes::Notes;
use crate::checks::{Checks, largest};
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use regulus_trainer::methods::fit_logistic_regression;

/// Weights, relative to the largest.
const WEIGHT: f64 = 1e-4;
/// The recorded optimum of a nearly unregularised problem is not converged: its own probabilities are off by 1e-4.
const WEAKLY_REGULARISED: f64 = 1e5;

/// Whether the case records an optimum for given features.
pub(crate) fn recognises(io: &Recorded) -> bool {
    io.has("features") && io.has("test_features")
}

pub(crate) fn run(io: &Recorded, notes: &Notes, rows: &mut Vec<Row>) -> Result<(), CaseError> {
    let (features, _) = io.values("features")?;
    let (test, test_shape) = io.values("test_features")?;
    let width = test_shape.last().copied().unwrap_or(1).max(1);
    let labels: Vec<usize> = io.flat("labels")?.into_iter().map(|label| label as usize).collect();
    let classes = labels.iter().max().map_or(0, |label| label + 1);
    let mut checks = Checks::new(io, "", rows);
    for setting in notes.list("cases")? {
        let (key, c) = (notes.text_in(setting, "key")?, notes.number_in(setting, "C")?);
        let fit = fit_logistic_regression(&features, &labels, classes, c)
            .map_err(|error| CaseError::Unsupported(error.to_string()))?;
        let name = |part: &str| format!("{key}.{part}");
        let weight = io.flat(&name("weight"))?;
        checks.values(&name("weight"), &fit.weight, &weight, WEIGHT * largest(&weight).max(1.0));
        let objective = io.number(&name("objective"))?;
        checks.values(
            &format!("{} (not above)", name("objective")),
            &[fit.objective.max(objective)],
            &[objective],
            1e-10 * objective.abs(),
        );
        let probabilities: Vec<f64> =
            test.chunks(width).flat_map(|row| softmax(&fit.weight, &fit.bias, row)).collect();
        let tolerance = if c > WEAKLY_REGULARISED { 1.2e-4 } else { 1e-5 };
        checks.values(&name("proba"), &probabilities, &io.flat(&name("proba"))?, tolerance);
        if io.has(&name("pred")) {
            let classes: Vec<f64> =
                probabilities.chunks(classes.max(1)).map(|row| highest(row) as f64).collect();
            checks.exact(&name("pred"), &classes, &io.flat(&name("pred"))?);
        }
        if io.has(&name("bias")) {
            // Adding a number to all biases changes nothing: compared without their mean.
            let centred = |values: &[f64]| -> Vec<f64> {
                let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
                values.iter().map(|value| value - mean).collect()
            };
            let expected = centred(&io.flat(&name("bias"))?);
            let tolerance = WEIGHT * largest(&weight).max(1.0);
            checks.values(&name("bias"), &centred(&fit.bias), &expected, tolerance);
        }
    }
    checks.finish();
    Ok(())
}

/// The first of the most probable classes.
fn highest(row: &[f64]) -> usize {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter().position(|value| *value == most).unwrap_or_default()
}

fn softmax(weight: &[f64], bias: &[f64], row: &[f64]) -> Vec<f64> {
    let dot = |weight: &[f64]| weight.iter().zip(row).map(|(w, x)| w * x).sum::<f64>();
    let logits: Vec<f64> = weight.chunks(row.len()).zip(bias).map(|(w, bias)| bias + dot(w)).collect();
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - highest).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}
