//! Image backbones: residual networks in evaluation and training mode, and vision transformers.

use super::{file_name, weights};
use crate::checks::Checks;
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::{Device, Tensor};
use regulus_clip::{Backbone, Injection, LoadedBackbone, Normalisation, ResNet, RunningStatistics};
use std::path::Path;

const TOLERANCE: f64 = 1e-4;

/// Names under which a feature per image may be recorded.
const FEATURES: [&str; 5] = ["eval_features", "features", "image_features", "pooled", "cls"];

/// Loads every weights file of the folder and compares it with the recorded values.
pub(crate) fn run(
    folder: &Path,
    io: &Recorded,
    device: &Device,
    rows: &mut Vec<Row>,
) -> Result<(), CaseError> {
    let files = weights(folder)?;
    let mut any_loaded = false;
    for file in &files {
        let with = if files.len() > 1 { file_name(file) } else { String::new() };
        let mut checks = Checks::new(io, with, rows);
        let loaded = match LoadedBackbone::load(file, device) {
            Ok(loaded) => loaded,
            Err(error) => {
                checks.problem("weights", error.to_string());
                continue;
            }
        };
        any_loaded = true;
        let pixels: Tensor<4> = io.tensor("pixel_values", device)?;
        let none = Injection::none();
        let features = loaded.backbone.features(pixels.clone(), &none, Normalisation::Running);
        checks.any(&FEATURES, &features, TOLERANCE)?;
        if let Backbone::ResNet(resnet) = &loaded.backbone {
            evaluated(&mut checks, resnet, &pixels)?;
            trained(&mut checks, &loaded, &pixels)?;
        }
    }
    if any_loaded {
        Checks::new(io, "", rows).finish();
    }
    Ok(())
}

fn evaluated(checks: &mut Checks<'_>, resnet: &ResNet, pixels: &Tensor<4>) -> Result<(), CaseError> {
    let none = Injection::none();
    let states = resnet.hidden_states(pixels.clone(), &none, Normalisation::Running);
    checks.tensor("eval_maxpool", &states.stem, TOLERANCE)?;
    for (index, layer) in states.layers.iter().enumerate() {
        checks.tensor(&format!("eval_layer{}", index + 1), layer, TOLERANCE)?;
    }
    match resnet.logits(states.features, &none) {
        Some(logits) => checks.tensor("eval_fc", &logits, TOLERANCE),
        None => Ok(()),
    }
}

/// One pass with the statistics of the batch, and what becomes of the running ones.
fn trained(checks: &mut Checks<'_>, loaded: &LoadedBackbone, pixels: &Tensor<4>) -> Result<(), CaseError> {
    let mut statistics = RunningStatistics::new(loaded.batches.clone());
    let normalisation = Normalisation::Batch(&mut statistics);
    let features = loaded.backbone.features(pixels.clone(), &Injection::none(), normalisation);
    checks.tensor("train_features", &features, TOLERANCE)?;
    for (path, values) in statistics.values() {
        checks.tensor(&format!("after_train.{path}"), values, TOLERANCE)?;
    }
    for (path, count) in statistics.batches() {
        let name = format!("after_train.{path}");
        if checks.recorded.has(&name) {
            let expected = checks.recorded.flat(&name)?;
            checks.exact(&name, &[*count as f64], &expected);
        }
    }
    Ok(())
}
