//! PromptSRC's terms, with the gradients of raw and of unit features.

use super::agreement::{
    gradient, loss, loss_of_single, of_large_logits, settings, unit, widest, zero_without,
};
use super::notes::Notes;
use crate::checks::{Checks, host, largest};
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::{Device, Tensor};
use regulus_losses::{BatchOutputs, PromptSrcWeights, aggregate_templates, promptsrc};
use serde_json::Value;

/// Whether the case records prompted features beside frozen ones.
pub(crate) fn recognises(io: &Recorded) -> bool {
    io.names().any(|name| name.ends_with(".text_frozen_templates"))
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
    let key = notes.text_in(case, "key")?;
    let name = |part: &str| format!("{key}.{part}");
    let features = |part: &str| io.tensor_as::<2>(&name(part), device, widest(device));
    let scale = io.number(&name("logit_scale_exp"))?;
    let labels = io.labels(&name("label"), device)?;
    let weights = PromptSrcWeights {
        text: notes.number_in(case, "text_weight")?,
        image: notes.number_in(case, "image_weight")?,
        logits: 1.0,
    };
    let outputs = |image: Tensor<2>, text: Tensor<2>| {
        let logits = image.clone().matmul(text.clone().transpose()) * scale;
        BatchOutputs { image, text, logits }
    };
    let templates = io.tensor_as::<3>(&name("text_frozen_templates"), device, widest(device))?;
    let frozen = outputs(unit(features("image_frozen")?), aggregate_templates(templates));
    gradient(checks, &name("text_frozen"), &frozen.text)?;
    of_large_logits(checks, &name("logits_frozen"), &frozen.logits)?;
    let logits = outputs(unit(features("image")?), unit(features("text")?)).logits;
    of_large_logits(checks, &name("logits"), &logits)?;
    let largest_logit = [&logits, &frozen.logits].into_iter().try_fold(0.0f64, |size, logits| {
        host(logits).map(|values| size.max(largest(&values))).map_err(CaseError::Unsupported)
    })?;

    for (raw, suffix) in [(true, ""), (false, "_unit")] {
        let leaf = |part: &str| -> Result<Tensor<2>, CaseError> {
            let features = features(part)?;
            Ok(if raw { features } else { unit(features) }.require_grad())
        };
        let (image, text) = (leaf("image")?, leaf("text")?);
        let prepared = |leaf: &Tensor<2>| if raw { unit(leaf.clone()) } else { leaf.clone() };
        // A backward pass uses its graph up: every term is computed anew.
        let result = || {
            let prompted = outputs(prepared(&image), prepared(&text));
            promptsrc(prompted, frozen.clone(), labels.clone(), weights)
        };
        for term in ["ce", "scl_text", "scl_image", "scl_logits", "total"] {
            let value = match term {
                "ce" => result().cross_entropy,
                // The agreements of features are recorded with their factors.
                "scl_text" => result().text * weights.text,
                "scl_image" => result().image * weights.image,
                "scl_logits" => result().logits,
                _ => result().loss,
            };
            if raw {
                loss(checks, &name(term), &value)?;
                if io.has(&name(&format!("{term}_f32"))) {
                    loss_of_single(checks, &name(&format!("{term}_f32")), &value, largest_logit)?;
                }
            }
            let gradients = value.backward();
            for (side, leaf) in [("image", &image), ("text", &text)] {
                let part = name(&format!("grad_{term}.{side}{suffix}"));
                if io.has(&part) {
                    gradient(checks, &part, &zero_without(leaf.grad(&gradients), leaf))?;
                }
            }
        }
    }
    Ok(())
}
