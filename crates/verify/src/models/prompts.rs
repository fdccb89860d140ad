//! Deep prompts in both towers, with PromptSRC's losses and the gradients of every prompt.

use super::{PROMPTS, clip, with_each_file};
use crate::checks::Checks;
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::{Device, Tensor};
use regulus_clip::{Clip, Injection, LoadedClip, normalise};
use regulus_losses::{BatchOutputs, PromptSrc, PromptSrcWeights, promptsrc};
use std::path::Path;

const VALUES: f64 = 1e-4;
const GRADIENTS: f64 = 1e-3;

/// The prompts of a tower: one `[prompts, width]` per layer.
struct Tower {
    name: &'static str,
    layers: Vec<Tensor<2>>,
}

impl Tower {
    fn read(prompts: &Recorded, name: &'static str, device: &Device) -> Result<Self, CaseError> {
        let names = (0..).map(|layer| format!("{name}_ctx_layer_{layer}"));
        let layers = names
            .take_while(|layer| prompts.has(layer))
            .map(|layer| Ok(prompts.tensor::<2>(&layer, device)?.require_grad()))
            .collect::<Result<Vec<_>, CaseError>>()?;
        Ok(Self { name, layers })
    }
}

pub(crate) fn run(
    folder: &Path,
    io: &Recorded,
    device: &Device,
    rows: &mut Vec<Row>,
) -> Result<(), CaseError> {
    let device = &device.clone().autodiff();
    let prompts = Recorded::open(&folder.join(PROMPTS))?;
    let towers = [Tower::read(&prompts, "vision", device)?, Tower::read(&prompts, "text", device)?];
    let [vision, text] = &towers;
    let prompted = Injection::none().image_prompts(vision.layers.clone()).text_prompts(text.layers.clone());
    let load = |file: &Path| Ok(LoadedClip::load(file, device)?);
    with_each_file(folder, io, rows, load, |checks, _, LoadedClip { config, clip, .. }| {
        clip::towers(checks, &config, &clip, &prompted, device)?;
        if io.has("labels") { losses(checks, &clip, &prompted, &towers, device) } else { Ok(()) }
    })?;
    Checks::new(&prompts, "", rows).finish();
    Ok(())
}

fn losses(
    checks: &mut Checks<'_>,
    clip: &Clip,
    prompted: &Injection,
    towers: &[Tower],
    device: &Device,
) -> Result<(), CaseError> {
    let io = checks.recorded;
    let pixels: Tensor<4> = io.tensor("pixel_values", device)?;
    let texts = io.rows("input_ids")?;
    let outputs = |injection: &Injection| {
        let (image, text) =
            (clip.encode_image(pixels.clone(), injection), clip.encode_text(&texts, injection));
        let logits = clip.logits(image.clone(), text.clone(), injection);
        (BatchOutputs { image: normalise(image.clone()), text: normalise(text.clone()), logits }, image, text)
    };
    let (frozen, image, text) = outputs(&Injection::none());
    checks.tensor("image_features_zs", &image, VALUES)?;
    checks.tensor("text_features_zs", &text, VALUES)?;
    checks.tensor("logits_zs", &frozen.logits, VALUES)?;

    let (total_name, weights) = total(io);
    let labels = io.labels("labels", device)?;
    let PromptSrc { loss, cross_entropy, text, image, logits } =
        promptsrc(outputs(prompted).0, frozen.clone(), labels.clone(), weights);
    checks.tensor("loss_ce", &cross_entropy, VALUES)?;
    checks.tensor("loss_scl_text_unweighted", &text, VALUES)?;
    checks.tensor("loss_scl_image_unweighted", &image, VALUES)?;
    checks.tensor("loss_scl_logits", &logits, VALUES)?;
    checks.tensor(&total_name, &loss, VALUES)?;
    gradients(checks, "grad_total", &loss, towers)?;
    let alone = promptsrc(outputs(prompted).0, frozen, labels, weights).cross_entropy;
    gradients(checks, "grad_ce", &alone, towers)
}

fn gradients(
    checks: &mut Checks<'_>,
    group: &str,
    loss: &Tensor<1>,
    towers: &[Tower],
) -> Result<(), CaseError> {
    let gradients = loss.backward();
    for tower in towers {
        for (layer, prompts) in tower.layers.iter().enumerate() {
            let name = format!("{group}.{}_ctx_layer_{layer}", tower.name);
            match prompts.grad(&gradients) {
                Some(gradient) => checks.tensor(&name, &gradient, GRADIENTS)?,
                None => checks.problem(&name, "the prompt received no gradient"),
            }
        }
    }
    Ok(())
}

/// The name of the recorded total, which tells the factors of its terms: `loss_total_w25_w10`.
fn total(io: &Recorded) -> (String, PromptSrcWeights) {
    let published = PromptSrcWeights::default();
    let factors = |name: &str| {
        let (text, image) = name.strip_prefix("loss_total_w")?.split_once("_w")?;
        Some(PromptSrcWeights { text: text.parse().ok()?, image: image.parse().ok()?, ..published })
    };
    let mut found = io.names().filter_map(|name| Some((name.to_string(), factors(name)?)));
    found.next().unwrap_or(("loss_total_w25_w10".to_string(), published))
}
