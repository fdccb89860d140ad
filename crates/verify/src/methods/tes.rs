//! TeS's loss, its parts, soft labels and gradients.

use super::agreement::{
    gradient, loss, loss_of_single, of_large_logits, settings, unit, widest, zero_without,
};
use super::notes::Notes;
use crate::checks::{Checks, host, largest};
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::Device;
use regulus_losses::{TesSettings, tes};
use serde_json::Value;

/// Whether the case records projected image features.
pub(crate) fn recognises(io: &Recorded) -> bool {
    io.names().any(|name| name.ends_with(".proj_raw"))
}

pub(crate) fn run(
    io: &Recorded,
    notes: &Notes,
    device: &Device,
    rows: &mut Vec<Row>,
) -> Result<(), CaseError> {
    settings(io, notes, rows, |checks, case| setting(checks, notes, case, device))
}

fn setting(checks: &mut Checks<'_>, notes: &Notes, case: &Value, device: &Device) -> Result<(), CaseError> {
    let io = checks.recorded;
    let (key, inputs) = (notes.text_in(case, "key")?, notes.text_in(case, "inputs")?);
    let name = |part: &str| format!("{key}.{part}");
    let input = |part: &str| io.tensor_as::<2>(&format!("{inputs}.{part}"), device, widest(device));
    let labels = io.labels(&format!("{inputs}.label"), device)?;
    let settings = TesSettings {
        tau: notes.number_in(case, "tau")?,
        lambda_v: notes.number_in(case, "lambda_v")?,
        lambda_t: notes.number_in(case, "lambda_t")?,
    };
    for of in ["raw", "unit"] {
        let vision = input("vision_logits")?.require_grad();
        let projected = input("proj_raw")?;
        let leaf = if of == "raw" { projected } else { unit(projected) }.require_grad();
        let projected = if of == "raw" { unit(leaf.clone()) } else { leaf.clone() };
        let result = tes(vision.clone(), projected, input("text")?, labels.clone(), settings);
        let gradients = result.loss.backward();
        if of == "raw" {
            loss(checks, &name("loss"), &result.loss)?;
            loss(checks, &name("loss_vision"), &result.vision.mean())?;
            loss(checks, &name("loss_text"), &result.text.mean())?;
            if io.has(&name("loss_f32")) {
                let vision = largest(&host(&vision).map_err(CaseError::Unsupported)?);
                let largest_logit = vision.max(1.0 / settings.tau);
                loss_of_single(checks, &name("loss_f32"), &result.loss, largest_logit)?;
            }
            gradient(checks, &name("soft_label"), &result.soft_labels)?;
            let found = zero_without(vision.grad(&gradients), &vision);
            gradient(checks, &name("grad_vision_logits"), &found)?;
        }
        let found = zero_without(leaf.grad(&gradients), &leaf);
        of_large_logits(checks, &name(&format!("grad_proj_{of}")), &found)?;
    }
    Ok(())
}
