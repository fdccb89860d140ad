//! Zero-shot classification with one template and with several.

use super::start::Start;
use crate::checks::Checks;
use crate::error::CaseError;
use crate::methods::notes::Notes;
use burn::tensor::{Tensor, activation};
use regulus_clip::{Injection, normalise};
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

const RAW: f64 = 1e-5;
const UNIT: f64 = 1e-6;

pub(super) fn run(checks: &mut Checks<'_>, notes: &Notes, start: &Start) -> Result<(), CaseError> {
    let Start { io, clip, .. } = start;
    let (images, classes) = (start.test_images()?, start.classes()?);
    let logits = notes.tolerance("out", 1e-4);
    let features = text_features(clip, &[io.rows("tokens")?], Averaging::UnitFirst);
    let raw = clip.encode_image(images.clone(), &Injection::none());
    compare(checks, "out.image_raw", &raw, RAW)?;
    compare(checks, "out.image_unit", &normalise(raw), UNIT)?;
    compare(checks, "out.text_raw", &features, RAW)?;
    compare(checks, "out.text_unit", &normalise(features.clone()), UNIT)?;
    let found = ZeroShot::new(clip.clone(), features).classify(images.clone());
    compare(checks, "out.probs", &activation::softmax(found.clone(), 1), RAW)?;
    compare(checks, "out.pred", &found.clone().argmax(1).float(), 0.0)?;
    compare(checks, "out.logits", &found, logits)?;

    let rows = io.rows("template_tokens")?;
    let prompts: Vec<Vec<Vec<u32>>> = rows.chunks(classes.max(1)).map(<[Vec<u32>]>::to_vec).collect();
    let encoded: Vec<Tensor<3>> =
        prompts.iter().map(|ids| clip.encode_text(ids, &Injection::none()).unsqueeze()).collect();
    compare(checks, "out.templates_raw", &Tensor::cat(encoded, 0), RAW)?;
    for (averaging, name) in [(Averaging::UnitFirst, "unit_first"), (Averaging::RawFirst, "raw_first")] {
        let features = text_features(clip, &prompts, averaging);
        compare(checks, &format!("out.ensemble_{name}"), &normalise(features.clone()), UNIT)?;
        let found = ZeroShot::new(clip.clone(), features).classify(images.clone());
        compare(checks, &format!("out.logits_ensemble_{name}"), &found, logits)?;
    }
    Ok(())
}

/// Compares values with an absolute tolerance.
fn compare<const D: usize>(
    checks: &mut Checks<'_>,
    name: &str,
    found: &Tensor<D>,
    tolerance: f64,
) -> Result<(), CaseError> {
    let expected = checks.recorded.flat(name)?;
    let found = crate::checks::host(found).map_err(CaseError::Unsupported)?;
    checks.values(name, &found, &expected, tolerance);
    Ok(())
}
