//! The training loop. There is one, for every method and for pre-training: batch, gradients, clip, step,
//! record.

use regulus_images::FileError;
use regulus_losses::AggregationError;
use serde::{Deserialize, Serialize};

use crate::aggregation::{AggregationSpec, EpochAggregate};
use crate::augmentation::Augmentation;
use crate::batches::BatchSource;
use crate::method::Method;
use crate::optim::{Optimiser, Rule, clip_global_norm};
use crate::parameters::Parameters;
use crate::recorder::{RecordError, Recorder, StepRecord};
use crate::schedule::Schedule;

/// How to optimise: everything that is not the method itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Optimiser steps; either this or `epochs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Passes over the training images; either this or `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Images per step.
    pub batch: usize,
    /// Base learning rate.
    pub learning_rate: f64,
    /// Factor on the learning rate of the classifier head (default 1).
    #[serde(default = "one")]
    pub head_multiplier: f64,
    /// Weight decay (default 0).
    #[serde(default)]
    pub weight_decay: f64,
    /// Parameters whose name contains one of these are not decayed (default: every bias).
    #[serde(default = "biases")]
    pub no_decay: Vec<String>,
    /// Largest joint L2 norm of the gradients of each group of `clip_groups` (default: no clipping).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Name prefixes that are clipped separately (default: all parameters as one group).
    #[serde(default = "everything")]
    pub clip_groups: Vec<String>,
    /// How training images are changed (default: not at all).
    #[serde(default)]
    pub augmentation: Augmentation,
    /// Learning-rate schedule.
    pub schedule: Schedule,
    /// Update rule.
    pub optimiser: Rule,
    /// Which parameters a run ends with (default: those of the last step).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<AggregationSpec>,
}

impl TrainingConfig {
    /// Optimiser steps of the whole run, with `per_epoch` of them in one pass over the data.
    pub fn total_steps(&self, per_epoch: usize) -> usize {
        self.steps.unwrap_or_else(|| self.epochs.unwrap_or(0).saturating_mul(per_epoch))
    }
}

fn one() -> f64 {
    1.0
}
fn biases() -> Vec<String> {
    vec!["bias".into()]
}
fn everything() -> Vec<String> {
    vec![String::new()]
}

/// Why training stopped early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss is not a number any more.
    #[error("the loss became {loss} at step {step}; lower the learning rate (now {learning_rate})")]
    NonFinite {
        /// The loss.
        loss: f64,
        /// 0-based step.
        step: usize,
        /// Base learning rate.
        learning_rate: f64,
    },
    /// A training image could be read when the run began, and cannot any more.
    #[error("cannot read a training image again at step {step}: {source}")]
    Image {
        /// 0-based step.
        step: usize,
        /// The file and what is wrong with it.
        source: FileError,
    },
    /// The parameters of the epochs could not be aggregated.
    #[error(transparent)]
    Aggregation(#[from] AggregationError),
    /// The record could not be written.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A step that has been taken.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// Number of steps so far.
    pub done: usize,
    /// Number of steps of the run.
    pub total: usize,
    /// The parameters after the step.
    pub parameters: &'a Parameters,
}

/// Trains `method` on the batches of `source` and returns its final parameters: those of the last step, or the
/// aggregate of all epochs. `observe` sees every step.
pub fn train(
    method: &mut dyn Method,
    source: &dyn BatchSource,
    config: &TrainingConfig,
    recorder: &mut Recorder,
    observe: &mut dyn FnMut(Taken<'_>),
) -> Result<Parameters, TrainError> {
    if let Some(images) = source.unchanging() {
        method.prepare(&images);
    }
    let mut parameters = method.parameters();
    let mut optimiser = Optimiser::new(config.optimiser.clone());
    let per_epoch = source.steps_per_epoch();
    let total = config.total_steps(per_epoch);
    let epochs = total.div_ceil(per_epoch.max(1));
    let mut aggregate = config.aggregation.map(|spec| EpochAggregate::new(spec, epochs)).transpose()?;
    for step in 0..total {
        let batch = source.batch(step).map_err(|source| TrainError::Image { step, source })?;
        let Some(batch) = batch else { break };
        let mut outcome = method.step(&parameters, &batch);
        if !outcome.loss.is_finite() {
            let learning_rate = config.learning_rate;
            return Err(TrainError::NonFinite { loss: outcome.loss, step, learning_rate });
        }
        if let Some(max_norm) = config.clip_norm {
            for group in &config.clip_groups {
                clip_global_norm(&mut outcome.gradients, max_norm, |name| name.starts_with(group.as_str()));
            }
        }
        let rate = config.schedule.rate(config.learning_rate, step, total, per_epoch);
        parameters = optimiser.step(&parameters, outcome.gradients, |name| {
            let multiplier = if method.is_head(name) { config.head_multiplier } else { 1.0 };
            let decays = !config.no_decay.iter().any(|part| name.contains(part.as_str()));
            (rate * multiplier, if decays { config.weight_decay } else { 0.0 })
        });
        recorder.step(&StepRecord {
            step,
            epoch: batch.epoch,
            learning_rate: rate,
            loss: outcome.loss,
            terms: outcome.terms,
        })?;
        let ends_epoch = (step + 1).is_multiple_of(per_epoch.max(1)) || step + 1 == total;
        if let Some(aggregate) = aggregate.as_mut().filter(|_| ends_epoch) {
            aggregate.add(&parameters)?;
        }
        observe(Taken { done: step + 1, total, parameters: &parameters });
    }
    match aggregate {
        Some(aggregate) => Ok(aggregate.finish(&parameters)?),
        None => Ok(parameters),
    }
}
