//! Image backbones: residual networks in evaluation and training mode, and vision transformers.

use super::with_each_file;
use crate::checks::{Checks, host, largest};
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::{Device, Tensor};
use regulus_clip::{
    Backbone, Injection, LoadedBackbone, NamedParameter, Normalisation, ResNet, RunningStatistics,
};
use std::path::Path;

const TOLERANCE: f64 = 1e-4;

/// Factors of a loss that is a weighted sum of the training features.
const LOSS_WEIGHTS: &str = "loss_weights";

/// Names under which a feature per image may be recorded.
const FEATURES: [&str; 5] = ["eval_features", "features", "image_features", "pooled", "cls"];

/// Compares every weights file of the folder with the recorded values.
pub(crate) fn run(
    folder: &Path,
    io: &Recorded,
    device: &Device,
    rows: &mut Vec<Row>,
) -> Result<(), CaseError> {
    let load = |file: &Path| {
        LoadedBackbone::load(file, device).map_err(|error| CaseError::Unsupported(error.to_string()))
    };
    with_each_file(folder, io, rows, load, |checks, file, loaded| {
        let pixels: Tensor<4> = io.tensor("pixel_values", device)?;
        let none = Injection::none();
        let features = loaded.backbone.features(pixels.clone(), &none, Normalisation::Running);
        checks.any(&FEATURES, &features, TOLERANCE)?;
        if let Backbone::ResNet(resnet) = &loaded.backbone {
            evaluated(checks, resnet, &pixels)?;
            trained(checks, &loaded, &pixels)?;
            if io.has(LOSS_WEIGHTS) {
                gradients(checks, file, device)?;
            }
        }
        Ok(())
    })
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

/// The gradients of the weights in training mode.
fn gradients(checks: &mut Checks<'_>, file: &Path, device: &Device) -> Result<(), CaseError> {
    let device = &device.clone().autodiff();
    let loaded =
        LoadedBackbone::load(file, device).map_err(|error| CaseError::Unsupported(error.to_string()))?;
    let mut injection = Injection::none();
    let mut weights = Vec::new();
    for NamedParameter { path, value, .. } in loaded.backbone.parameters() {
        if checks.recorded.has(&format!("grad.{path}")) {
            let value = value.require_grad();
            injection = injection.replace(path.clone(), value.clone());
            weights.push((path, value));
        }
    }
    let pixels: Tensor<4> = checks.recorded.tensor("pixel_values", device)?;
    let factors: Tensor<2> = checks.recorded.tensor(LOSS_WEIGHTS, device)?;
    let mut statistics = RunningStatistics::new(loaded.batches.clone());
    let features = loaded.backbone.features(pixels, &injection, Normalisation::Batch(&mut statistics));
    let gradients = (features * factors).sum().backward();
    for (path, value) in weights {
        let name = format!("grad.{path}");
        let Some(gradient) = value.grad(&gradients) else {
            checks.problem(&name, "the weight received no gradient");
            continue;
        };
        let expected = checks.recorded.flat(&name)?;
        let unit = largest(&expected).max(1.0);
        let found = host(&gradient).map_err(CaseError::Unsupported)?;
        checks.values(&name, &found, &expected, TOLERANCE * unit);
    }
    Ok(())
}
