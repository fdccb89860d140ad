//! A linear probe trained by SGD.

use super::start::Start;
use super::{trained, values};
use crate::checks::Checks;
use crate::error::CaseError;
use crate::methods::notes::Notes;
use burn::tensor::Tensor;
use regulus_clip::Precision;
use regulus_trainer::batches::Augmentation;
use regulus_trainer::methods::LinearProbe;
use regulus_trainer::optim::Rule;
use regulus_trainer::schedule::{Decay, Pace, Schedule, Warmup};
use regulus_trainer::training::TrainingConfig;

/// SGD's momentum in the recordings (`optimiser` in the notes).
const MOMENTUM: f64 = 0.9;

pub(super) fn run(checks: &mut Checks<'_>, notes: &Notes, start: &Start) -> Result<(), CaseError> {
    let io = checks.recorded;
    let single = |name: &str| -> Result<Vec<f32>, CaseError> {
        Ok(io.flat(name)?.into_iter().map(|value| value as f32).collect())
    };
    let rates = notes.list("lr_per_epoch")?;
    let learning_rate = rates.first().and_then(serde_json::Value::as_f64).unwrap_or_default();
    let probe = LinearProbe::new(start.clip.clone(), start.classes()?, 0);
    let mut probe = probe.with_weights(single("init.weight")?, single("init.bias")?);
    let config = TrainingConfig {
        steps: Some(io.flat("loss")?.len()),
        epochs: None,
        batch: io.shape("out.features")?.get(1).copied().unwrap_or_default(),
        accumulate: 1,
        memory_budget: None,
        precision: Precision::F32,
        learning_rate,
        head_multiplier: 1.0,
        weight_decay: 0.0,
        no_decay: Vec::new(),
        clip_norm: None,
        clip_groups: Vec::new(),
        augmentation: Augmentation::None,
        schedule: Schedule { warmup: 0.0, rise: Warmup::FromZero, decay: Decay::Cosine, pace: Pace::Epoch },
        optimiser: Rule::Sgd { momentum: MOMENTUM, nesterov: false },
        aggregation: None,
        selection: Default::default(),
        groups: Default::default(),
    };
    let outcome = trained(checks, notes, start, &mut probe, &config)?;
    let tolerance = notes.tolerance("final", 1e-6);
    for part in ["weight", "bias"] {
        let name = format!("final.{part}");
        let found = values(outcome.last(), &format!("head.{part}"))?;
        checks.values(&name, &found, &io.flat(&name)?, tolerance);
    }
    let images: Tensor<5> = start.io.tensor("images", &start.device)?;
    let [steps, batch, channels, height, width] = images.dims();
    let features = probe.features(images.reshape([steps * batch, channels, height, width]));
    let found = crate::checks::host(&features).map_err(CaseError::Unsupported)?;
    checks.values("out.features", &found, &io.flat("out.features")?, notes.tolerance("out", 1e-6));
    Ok(())
}
