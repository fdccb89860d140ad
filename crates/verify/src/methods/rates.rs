//! Learning rates of the published schedules, step by step: a JSON file without tensors.

use super::notes::Notes;
use crate::checks::compared_in_units;
use crate::error::CaseError;
use crate::report::Row;
use regulus_trainer::schedule::{Decay, Pace, Schedule, Warmup, milestone_rate};
use serde_json::Value;
use std::path::Path;

/// Relative; the recorded rates are the last results of long recursions.
const RATE: f64 = 1e-9;

/// Whether the file holds schedules. A file that is no JSON does not.
pub(crate) fn recognises(path: &Path) -> bool {
    Notes::open(path).is_ok_and(|notes| {
        ["dassl", "proreg", "tes_cosine_per_iteration"].iter().all(|family| notes.get(family).is_array())
    })
}

pub(crate) fn run(notes: &Notes, rows: &mut Vec<Row>) -> Result<(), CaseError> {
    for (index, case) in notes.list("dassl")?.iter().enumerate() {
        dassl(notes, rows, index, case)?;
    }
    for (index, case) in notes.list("tes_cosine_per_iteration")?.iter().enumerate() {
        let (epochs, iterations) = (notes.size_in(case, "epochs")?, notes.size_in(case, "iters")?);
        let schedule =
            Schedule { warmup: 0.0, rise: Warmup::FromZero, decay: Decay::Cosine, pace: Pace::Step };
        let base = notes.number_in(case, "lr")?;
        let found: Vec<f64> = numbers(notes, case, "sampled_at")?
            .into_iter()
            .map(|step| schedule.rate(base, step as usize, epochs * iterations, iterations))
            .collect();
        compare(notes, rows, &format!("tes_cosine_per_iteration.{index}"), case, "values", &found)?;
    }
    for (index, case) in notes.list("proreg")?.iter().enumerate() {
        proreg(notes, rows, index, case)?;
    }
    milestones(notes, rows)
}

/// Dassl's `build_lr_scheduler`: the rate of each epoch.
fn dassl(notes: &Notes, rows: &mut Vec<Row>, index: usize, case: &Value) -> Result<(), CaseError> {
    let epochs = notes.size_in(case, "epochs")?;
    let warmup = notes.number_in(case, "warmup_epoch")?.max(0.0);
    let rise = match notes.text_in(case, "warmup_type")? {
        "constant" => Warmup::Constant { rate: notes.number_in(case, "warmup_cons_lr")? },
        "linear" => Warmup::Linear { first: notes.number_in(case, "warmup_min_lr")? },
        other => return Err(CaseError::Unsupported(format!("the warm-up {other:?} is not known here"))),
    };
    let decay = match case["recount"].as_bool() {
        Some(true) => Decay::WholePeriodCosine,
        Some(false) => Decay::ContinuedCosine,
        None => return Err(notes.form("recount", &case["recount"], "true or false")),
    };
    let schedule = Schedule { warmup, rise, decay, pace: Pace::Epoch };
    let base = notes.number_in(case, "lr")?;
    let found: Vec<f64> = (0..epochs).map(|epoch| schedule.rate(base, epoch, epochs, 1)).collect();
    compare(notes, rows, &format!("dassl.{index}"), case, "values", &found)
}

/// ProReg's `set_schedule`: the rate of every step up to the one after the last.
fn proreg(notes: &Notes, rows: &mut Vec<Row>, index: usize, case: &Value) -> Result<(), CaseError> {
    let steps = notes.size_in(case, "total_steps")?;
    let base = notes.number_in(case, "lr")?;
    let rates = |warmup: f64, decay: Decay| -> Vec<f64> {
        let schedule = Schedule { warmup, rise: Warmup::FromZero, decay, pace: Pace::Step };
        (0..=steps).map(|step| schedule.rate(base, step, steps, 1)).collect()
    };
    let polynomial = match (case["power"].as_f64(), case["end_lr"].as_f64()) {
        (Some(power), Some(end)) => Decay::Polynomial { power, end },
        _ => Decay::Linear,
    };
    let mut compared = false;
    for (key, decay) in [("poly_power1_end0", Decay::Linear), ("poly", polynomial), ("cosine", Decay::Cosine)]
    {
        if case[key].is_array() {
            let what = format!("proreg.{index}");
            let found = rates(notes.number_in(case, "warmup_steps")?, decay);
            compare(notes, rows, &what, case, key, &found)?;
            if let Some(share) = case["warmup_fraction"].as_f64() {
                compare(notes, rows, &format!("{what}, by its share"), case, key, &rates(share, decay))?;
            }
            compared = true;
        }
    }
    if !compared {
        rows.push(Row::problem(format!("proreg.{index}"), "records no schedule that is known here"));
    }
    Ok(())
}

/// TeS's schedule without its cosine.
fn milestones(notes: &Notes, rows: &mut Vec<Row>) -> Result<(), CaseError> {
    let case = notes.get("tes_step_default");
    if case.is_null() {
        return Ok(());
    }
    let base = notes.number_in(case, "base")?;
    let at: Vec<usize> =
        numbers(notes, case, "milestones")?.into_iter().map(|epoch| epoch as usize).collect();
    let pairs = case["epoch_lr"].as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |pair: &Value, index: usize| pair[index].as_f64().unwrap_or(f64::NAN);
    let found: Vec<f64> =
        pairs.iter().map(|pair| milestone_rate(base, &at, 0.1, number(pair, 0) as usize)).collect();
    let expected: Vec<f64> = pairs.iter().map(|pair| number(pair, 1)).collect();
    rows.push(compared_in_units("tes_step_default".into(), &found, &expected, &expected, RATE));
    Ok(())
}

/// Relative to the recorded rate; a recorded 0 may be the rounding of a cosine.
fn compare(
    notes: &Notes,
    rows: &mut Vec<Row>,
    what: &str,
    case: &Value,
    key: &str,
    found: &[f64],
) -> Result<(), CaseError> {
    let expected = numbers(notes, case, key)?;
    let base = notes.number_in(case, "lr")?;
    let units: Vec<f64> = expected.iter().map(|rate| rate.abs().max(1e-6 * base.abs())).collect();
    let what = match case["name"].as_str() {
        Some(name) => format!("{what} ({name}) {key}"),
        None => format!("{what} {key}"),
    };
    rows.push(compared_in_units(what, found, &expected, &units, RATE));
    Ok(())
}

fn numbers(notes: &Notes, case: &Value, key: &str) -> Result<Vec<f64>, CaseError> {
    let list = case[key].as_array().ok_or_else(|| notes.form(key, &case[key], "a list of numbers"))?;
    list.iter().map(|item| item.as_f64().ok_or_else(|| notes.form(key, item, "a number"))).collect()
}
