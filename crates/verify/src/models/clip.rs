//! CLIP models of all publishers: hidden states, features and logits.

use super::{file_name, with_each_file};
use crate::checks::{Checks, host};
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::{Device, Tensor};
use regulus_clip::{
    Clip, ClipConfig, HiddenStates, ImageTower, Injection, LoadedClip, ModifiedResNet, Part, TokenBatch,
    VisionTransformer, normalise,
};
use std::path::Path;

/// Hidden states of `transformers`.
const HIDDEN: f64 = 2e-5;
/// All else.
const REST: f64 = 1e-4;
/// Half-precision arithmetic.
const HALF: f64 = 1e-2;

/// Compares every weights file of the folder with the recorded values and with the first file.
pub(crate) fn run(
    folder: &Path,
    io: &Recorded,
    device: &Device,
    rows: &mut Vec<Row>,
) -> Result<(), CaseError> {
    let mut first: Option<(String, Clip)> = None;
    let load = |file: &Path| Ok(LoadedClip::load(file, device)?);
    with_each_file(folder, io, rows, load, |checks, file, LoadedClip { config, clip, .. }| {
        towers(checks, &config, &clip, &Injection::none(), device)?;
        match &first {
            None => first = Some((file_name(file), clip)),
            Some((name, other)) => same_parameters(checks, name, other, &clip),
        }
        Ok(())
    })
}

/// Compares everything that is recorded about both towers and their logits.
pub(super) fn towers(
    checks: &mut Checks<'_>,
    config: &ClipConfig,
    clip: &Clip,
    injection: &Injection,
    device: &Device,
) -> Result<(), CaseError> {
    let io = checks.recorded;
    let mut images = None;
    if io.has("pixel_values") {
        let pixels: Tensor<4> = io.tensor("pixel_values", device)?;
        let [_, channels, height, width] = pixels.dims();
        let resolution = config.image.resolution();
        if (channels, height, width) != (3, resolution, resolution) {
            let found =
                format!("{channels} x {height} x {width}, the model reads 3 x {resolution} x {resolution}");
            return Err(io.form("pixel_values", found, "images of the model's resolution"));
        }
        let features = match &clip.visual {
            ImageTower::Vit(vit) => vision_transformer(checks, vit, pixels, injection)?,
            ImageTower::ResNet(resnet) => residual_network(checks, resnet, pixels, injection)?,
        };
        image_features(checks, &features)?;
        images = Some(features);
    }
    let mut texts = None;
    for ids in ["input_ids", "input_ids_eotpad"] {
        if io.has(ids) {
            texts = Some(text_tower(checks, config, clip, ids, injection)?);
        }
    }
    if let (Some(images), Some(texts)) = (images, texts) {
        let logits = clip.logits(images, texts, injection);
        checks.any(&["logits_per_image", "logits"], &logits, REST)?;
        checks.tensor("logits_per_text", &logits.transpose(), REST)?;
    }
    Ok(())
}

fn vision_transformer(
    checks: &mut Checks<'_>,
    vit: &VisionTransformer,
    pixels: Tensor<4>,
    injection: &Injection,
) -> Result<Tensor<2>, CaseError> {
    let patches = vit.patches(pixels.clone(), injection);
    let [batch, positions, width] = patches.dims();
    let side = positions.isqrt();
    let planes: Tensor<4> = patches.permute([0, 2, 1]).reshape([batch, width, side, positions / side.max(1)]);
    checks.tensor("vision_conv1", &planes, REST)?;
    let states = vit.hidden_states(pixels, injection);
    checks.tensor("vision_embeddings", &states.embeddings, HIDDEN)?;
    checks.tensor("vision_pre_layernorm", &states.block_input, HIDDEN)?;
    checks.tensor("vision_ln_pre", &states.block_input, REST)?;
    blocks(checks, "vision", &states)?;
    checks.tensor("vision_ln_post", &states.normalised, REST)?;
    checks.tensor("vision_pooled", &states.pooled, REST)?;
    Ok(states.features)
}

fn residual_network(
    checks: &mut Checks<'_>,
    resnet: &ModifiedResNet,
    pixels: Tensor<4>,
    injection: &Injection,
) -> Result<Tensor<2>, CaseError> {
    let states = resnet.hidden_states(pixels, injection);
    checks.tensor("rn_relu1", &states.stem_first, REST)?;
    checks.tensor("rn_avgpool", &states.stem, REST)?;
    for (index, layer) in states.layers.iter().enumerate() {
        checks.tensor(&format!("rn_layer{}", index + 1), layer, REST)?;
    }
    Ok(states.features)
}

fn image_features(checks: &mut Checks<'_>, features: &Tensor<2>) -> Result<(), CaseError> {
    checks.any(&["image_embeds_raw", "image_features", "rn_attnpool"], features, REST)?;
    checks.any(&["image_embeds", "image_features_norm"], &normalise(features.clone()), REST)?;
    checks.tensor("image_features_fp16_run", features, HALF)
}

/// Runs the texts over all recorded positions, and again cut after the last end, where hidden states are compared
/// up to the end of each text.
fn text_tower(
    checks: &mut Checks<'_>,
    config: &ClipConfig,
    clip: &Clip,
    ids: &str,
    injection: &Injection,
) -> Result<Tensor<2>, CaseError> {
    let rows = checks.recorded.rows(ids)?;
    let tokens = TokenBatch::uncut(&rows, &config.text)?;
    let states = clip.text.hidden_states(&tokens, injection);
    let features = ["text_embeds_raw", "text_features"];
    let units = ["text_embeds", "text_features_norm"];
    if ids == "input_ids" {
        checks.tensor("text_embeddings", &states.embeddings, HIDDEN)?;
        blocks(checks, "text", &states)?;
        checks.tensor("text_last_hidden_state", &states.normalised, HIDDEN)?;
        checks.tensor("text_ln_final", &states.normalised, REST)?;
        checks.tensor("text_pooled", &states.pooled, REST)?;
        if checks.recorded.has("eot_index") {
            let ends: Vec<f64> = tokens.ends().iter().map(|end| *end as f64).collect();
            let expected = checks.recorded.flat("eot_index")?;
            checks.exact("eot_index", &ends, &expected);
        }
        let cut = TokenBatch::new(&rows, &config.text)?;
        cut_blocks(checks, &cut, &clip.text.hidden_states(&cut, injection))?;
    }
    checks.any(&features, &states.features, REST)?;
    checks.any(&units, &normalise(states.features.clone()), REST)?;
    checks.tensor("text_features_fp16_run", &states.features, HALF)?;
    Ok(clip.encode_text(&rows, injection))
}

/// The output of every block.
fn blocks(checks: &mut Checks<'_>, tower: &str, states: &HiddenStates) -> Result<(), CaseError> {
    let tolerance = hidden_tolerance(checks.recorded);
    for (index, block) in states.blocks.iter().enumerate() {
        checks.tensor(&format!("{tower}_hidden_{index}"), block, tolerance)?;
    }
    Ok(())
}

/// The output of every block for texts that are cut, up to the end of each.
fn cut_blocks(checks: &mut Checks<'_>, cut: &TokenBatch, states: &HiddenStates) -> Result<(), CaseError> {
    let tolerance = hidden_tolerance(checks.recorded);
    for (index, block) in states.blocks.iter().enumerate() {
        let name = format!("text_hidden_{index}");
        if !checks.recorded.has(&name) {
            continue;
        }
        let (expected, shape) = checks.recorded.values(&name)?;
        let (&[_, recorded_length, width], Ok(found)) = (shape.as_slice(), host(block)) else { continue };
        let up_to_end = |values: &[f64], length: usize| -> Vec<f64> {
            let texts = values.chunks(length * width).zip(cut.ends());
            texts.flat_map(|(text, end)| text.iter().take((end + 1) * width).copied()).collect()
        };
        let (found, expected) = (up_to_end(&found, cut.length()), up_to_end(&expected, recorded_length));
        let unit = crate::checks::largest(&expected).max(1.0);
        checks.values(&format!("{name} up to the end, text cut there"), &found, &expected, tolerance * unit);
    }
    Ok(())
}

/// Only recordings of `transformers` hold the embeddings, and they agree more closely.
fn hidden_tolerance(io: &Recorded) -> f64 {
    if io.has("text_embeddings") || io.has("vision_embeddings") { HIDDEN } else { REST }
}

/// All parameters of two files of the same model are the same numbers.
fn same_parameters(checks: &mut Checks<'_>, name: &str, expected: &Clip, found: &Clip) {
    let all = |clip: &Clip| -> Result<Vec<f64>, String> {
        let parameters = clip.parameters(Part::All);
        let values = parameters.iter().map(|named| host(&named.value)).collect::<Result<Vec<_>, _>>()?;
        Ok(values.concat())
    };
    match (all(found), all(expected)) {
        (Ok(found), Ok(expected)) => checks.exact(&format!("parameters of {name}"), &found, &expected),
        (Err(reason), _) | (_, Err(reason)) => checks.problem(&format!("parameters of {name}"), reason),
    }
}
