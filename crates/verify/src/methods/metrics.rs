//! Metrics of recorded logits. What they should be stands in the notes.

use super::notes::Notes;
use crate::checks::Checks;
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use regulus_trainer::calibration::{BINS, binned, confidences};
use regulus_trainer::comparison::harmonic_mean;
use regulus_trainer::metrics::{
    AbsentClasses, ConfusionMatrix, SeedSummary, accuracy, calibration_error, class_accuracies, hits,
    macro_f1, mean_class_accuracy, predictions,
};
use serde_json::Value;

/// Percentages of counts, in f64.
const COUNTED: f64 = 1e-9;
/// Of probabilities; the reference computes them in f32.
const PROBABILITY: f64 = 1e-6;

/// Whether the case records logits with metrics in its notes.
pub(crate) fn recognises(io: &Recorded, notes: &Notes) -> bool {
    io.names().any(|name| name.ends_with(".logits"))
        && notes.list("cases").is_ok_and(|cases| cases.iter().any(|case| case["confusion_counts"].is_array()))
}

pub(crate) fn run(io: &Recorded, notes: &Notes, rows: &mut Vec<Row>) -> Result<(), CaseError> {
    let mut checks = Checks::new(io, "", rows);
    for case in notes.list("cases")? {
        setting(&mut checks, notes, case)?;
    }
    if let Ok(triples) = notes.list("harmonic_mean") {
        let column = |index: usize| -> Vec<f64> {
            triples.iter().map(|triple| triple[index].as_f64().unwrap_or(f64::NAN)).collect()
        };
        let found: Vec<f64> =
            column(0).into_iter().zip(column(1)).map(|(base, new)| harmonic_mean(base, new)).collect();
        checks.values("harmonic_mean", &found, &column(2), COUNTED);
    }
    let seeds = notes.get("seeds_mean_std");
    if !seeds.is_null() {
        let summary = SeedSummary::of(&numbers(&seeds["values"]));
        let found = [summary.mean, summary.deviation, summary.half_width];
        let expected = ["mean", "std_population", "ci95"].map(|key| notes.number_in(seeds, key));
        let expected: Vec<f64> = expected.into_iter().collect::<Result<_, _>>()?;
        checks.values("seeds_mean_std", &found, &expected, COUNTED);
    }
    checks.finish();
    Ok(())
}

fn setting(checks: &mut Checks<'_>, notes: &Notes, case: &Value) -> Result<(), CaseError> {
    let io = checks.recorded;
    let (key, classes) = (notes.text_in(case, "key")?, notes.size_in(case, "classes")?);
    let logits: Vec<f32> = io.flat(&format!("{key}.logits"))?.into_iter().map(|value| value as f32).collect();
    let labels: Vec<usize> =
        io.flat(&format!("{key}.labels"))?.into_iter().map(|label| label as usize).collect();
    let predicted = predictions(&logits, classes);
    let (first, five) = (hits(&logits, &labels, classes, 1), hits(&logits, &labels, classes, 5));
    let (within, within_five) =
        (class_accuracies(&first, &labels, classes), class_accuracies(&five, &labels, classes));

    let mut percentage = |field: &str, found: f64| -> Result<(), CaseError> {
        if !case[field].is_null() {
            let expected = notes.number_in(case, field)?;
            checks.values(&format!("{key}.{field}"), &[found], &[expected], COUNTED);
        }
        Ok(())
    };
    percentage("accuracy", accuracy(&first))?;
    percentage("error", 100.0 - accuracy(&first))?;
    percentage("top5", accuracy(&five))?;
    percentage("macro_f1", macro_f1(&predicted, &labels))?;
    percentage("perclass_mean", mean_class_accuracy(&within, AbsentClasses::LeftOut))?;
    percentage("tes_mean_class_acc1_seen_only", mean_class_accuracy(&within, AbsentClasses::LeftOut))?;
    percentage("tes_mean_class_acc5_seen_only", mean_class_accuracy(&within_five, AbsentClasses::LeftOut))?;

    if let Some(expected) = case["per_class"].as_object() {
        let found: Vec<f64> = within.iter().map(|share| share.unwrap_or(f64::NAN)).collect();
        let at = |class: usize| expected.get(&class.to_string()).and_then(Value::as_f64);
        let expected: Vec<f64> = (0..classes).map(|class| at(class).unwrap_or(f64::NAN)).collect();
        checks.values(&format!("{key}.per_class"), &marked(&found), &marked(&expected), COUNTED);
    }
    for (field, within) in [("tes_mean_class_acc1", &within), ("tes_mean_class_acc5", &within_five)] {
        if case.get(field).is_some() {
            // JSON has no NaN; a number that does not exist is null.
            let expected = case[field].as_f64().unwrap_or(f64::NAN);
            let found = mean_class_accuracy(within, AbsentClasses::Undefined);
            checks.values(&format!("{key}.{field}"), &marked(&[found]), &marked(&[expected]), COUNTED);
        }
    }
    confusion(checks, key, case, &ConfusionMatrix::of(&predicted, &labels));

    let bins = binned(&confidences(&logits, &labels, classes, 1.0), BINS);
    if !case["ece15"].is_null() {
        let expected = notes.number_in(case, "ece15")?;
        checks.values(&format!("{key}.ece15"), &[calibration_error(&bins)], &[expected], PROBABILITY);
    }
    if let Some(recorded) = case["ece_bins"].as_array() {
        let found: Vec<f64> =
            bins.iter().flat_map(|bin| [bin.images as f64, bin.confidence, bin.accuracy]).collect();
        let expected: Vec<f64> = recorded.iter().flat_map(numbers).collect();
        checks.values(&format!("{key}.ece_bins"), &found, &expected, PROBABILITY);
    }
    Ok(())
}

fn confusion(checks: &mut Checks<'_>, key: &str, case: &Value, matrix: &ConfusionMatrix) {
    let flat = |counts: &[usize]| -> Vec<f64> { counts.iter().map(|count| *count as f64).collect() };
    let rows =
        |value: &Value| -> Vec<f64> { value.as_array().into_iter().flatten().flat_map(numbers).collect() };
    let name = |part: &str| format!("{key}.confusion_{part}");
    checks.exact(&name("labels"), &flat(&matrix.classes), &numbers(&case["confusion_labels"]));
    checks.exact(&name("counts"), &flat(&matrix.counts.concat()), &rows(&case["confusion_counts"]));
    let shares = matrix.row_shares().concat();
    checks.values(&name("row_normalised"), &shares, &rows(&case["confusion_row_normalised"]), COUNTED);
}

/// The numbers of a list; what a class or bin without images has none of counts as 0.
fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().into_iter().flatten().map(|value| value.as_f64().unwrap_or_default()).collect()
}

/// Numbers that do not exist on both sides are equal: they become a number that no percentage is.
fn marked(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| if value.is_nan() { -1.0 } else { *value }).collect()
}
