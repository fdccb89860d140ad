//! ProReg's losses, weights and gradients over many settings.

use super::agreement::allowed;
use super::notes::Notes;
use crate::checks::{Checks, host};
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::{Device, Tensor};
use regulus_losses::{
    TeacherWeight, constant_distillation, cross_entropy, distillation, proreg, teacher_weight,
};
use serde_json::Value;

/// Losses, relative.
const LOSS: f64 = 2e-6;
/// Gradients and weights, absolute.
const GRADIENT: f64 = 1e-6;

/// Whether the case records students and teachers.
pub(crate) fn recognises(io: &Recorded, notes: &Notes) -> bool {
    notes.get("cases").is_array() && io.names().any(|name| name.ends_with(".student"))
}

pub(crate) fn run(
    io: &Recorded,
    notes: &Notes,
    device: &Device,
    rows: &mut Vec<Row>,
) -> Result<(), CaseError> {
    let mut checks = Checks::new(io, "", rows);
    for case in notes.list("cases")? {
        setting(&mut checks, notes, case, device)?;
    }
    checks.finish();
    Ok(())
}

fn setting(checks: &mut Checks<'_>, notes: &Notes, case: &Value, device: &Device) -> Result<(), CaseError> {
    let io = checks.recorded;
    let (key, inputs) = (notes.text_in(case, "key")?, notes.text_in(case, "inputs")?);
    let (alpha, temperature) = (notes.number_in(case, "alpha")?, notes.number_in(case, "T")?);
    let student: Tensor<2> = io.tensor::<2>(&format!("{inputs}.student"), device)?.require_grad();
    let teacher: Tensor<2> = io.tensor(&format!("{inputs}.teacher"), device)?;
    let labels = io.labels(&format!("{inputs}.label"), device)?;
    for (name, logits) in [("xe_student", &student), ("xe_teacher", &teacher)] {
        if io.has(&format!("{inputs}.{name}")) {
            let entropies = cross_entropy(logits.clone(), labels.clone());
            compare(checks, inputs, name, &entropies, GRADIENT, LOSS)?;
        }
    }
    let form = match notes.text_in(case, "loss")? {
        "kd" => None,
        "exp10" => Some(TeacherWeight::Exp10),
        "prob" => Some(TeacherWeight::Prob),
        "power" => Some(TeacherWeight::Power { gamma: notes.number_in(case, "gamma")? }),
        other => return Err(CaseError::Unsupported(format!("{key}: the loss {other:?} is not known here"))),
    };
    let loss = match form {
        None => {
            constant_distillation(student.clone(), teacher.clone(), labels.clone(), alpha, temperature).mean()
        }
        Some(form) => {
            let result = proreg(student.clone(), teacher.clone(), labels.clone(), form, alpha, temperature);
            let weight = teacher_weight(
                form,
                cross_entropy(student.clone(), labels.clone()),
                cross_entropy(teacher.clone(), labels),
            );
            compare(checks, key, "w_teacher", &weight, GRADIENT, 0.0)?;
            let found = host(&result.weights).map_err(CaseError::Unsupported)?;
            let expected = io.flat(&format!("{key}.w_teacher"))?;
            checks.values(&format!("{key}.w_teacher, as the loss used it"), &found, &expected, GRADIENT);
            result.loss
        }
    };
    let divergence = distillation(student.clone(), teacher, temperature);
    compare(checks, key, "kl_per_sample", &divergence, GRADIENT, LOSS)?;
    compare(checks, key, "loss", &loss, 0.0, LOSS)?;
    if io.has(&format!("{key}.loss_f32")) {
        compare(checks, key, "loss_f32", &loss, 0.0, LOSS)?;
    }
    match student.grad(&loss.backward()) {
        Some(gradient) => compare(checks, key, "grad", &gradient, GRADIENT, 0.0),
        None => {
            checks.problem(&format!("{key}.grad"), "the logits received no gradient");
            Ok(())
        }
    }
}

/// `|a - b| <= absolute + relative * |b|` for each value, shown in units of that bound.
fn compare<const D: usize>(
    checks: &mut Checks<'_>,
    key: &str,
    part: &str,
    found: &Tensor<D>,
    absolute: f64,
    relative: f64,
) -> Result<(), CaseError> {
    let name = format!("{key}.{part}");
    let expected = checks.recorded.flat(&name)?;
    let tolerance = allowed(found, 1.0);
    let found = host(found).map_err(CaseError::Unsupported)?;
    let unit = |value: &f64| (absolute + relative * value.abs()).max(f64::MIN_POSITIVE);
    let units: Vec<f64> = expected.iter().map(unit).collect();
    checks.in_units(&name, &found, &expected, &units, tolerance);
    Ok(())
}
