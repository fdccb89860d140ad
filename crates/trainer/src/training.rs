//! The training loop. There is one, for every method and for pre-training: batches, gradients, clip, step,
//! record.

use std::collections::BTreeMap;

use regulus_clip::Precision;
use regulus_images::FileError;
use regulus_losses::AggregationError;
use serde::{Deserialize, Serialize};

use crate::accumulation::Accumulation;
use crate::aggregation::{AggregationSpec, EpochAggregate};
use crate::augmentation::Augmentation;
use crate::batches::BatchSource;
use crate::memory_budget::MemoryBudget;
use crate::method::{BufferError, Method};
use crate::optim::{Optimiser, Rule, clip_global_norm};
use crate::parameters::Parameters;
use crate::recorder::{RecordError, Recorder, StepRecord};
use crate::schedule::Schedule;
use crate::selection::{Selection, Selector};
use crate::stages::{self, Stage};
use crate::training_groups::{GroupConfig, Moment};
use crate::training_state::{StateError, TrainingState};

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
    /// Images per batch.
    pub batch: usize,
    /// Consecutive batches whose gradients are averaged into one optimiser step (default 1).
    #[serde(default = "single", skip_serializing_if = "is_single")]
    pub accumulate: usize,
    /// Memory that the run should make do with, by computing the texts of some classes at a time (default: those of all
    /// classes at once). Results do not depend on it, but for the order of floating-point sums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_budget: Option<MemoryBudget>,
    /// What the towers compute in (default f32). Parameters, losses and updates are f32 always.
    #[serde(default, skip_serializing_if = "is_f32")]
    pub precision: Precision,
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
    /// Which of the epochs gives the parameters (default `last`); `id-val` asks validation images, never test images.
    #[serde(default, skip_serializing_if = "Selection::is_last")]
    pub selection: Selection,
    /// Parts of a composed method that are optimised in a way of their own, by their names (default: none).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, GroupConfig>,
}

impl TrainingConfig {
    /// Optimiser steps of the whole run, with `per_epoch` of them in one pass over the data.
    pub fn total_steps(&self, per_epoch: usize) -> usize {
        self.steps.unwrap_or_else(|| self.epochs.unwrap_or(0).saturating_mul(per_epoch))
    }
}

fn single() -> usize {
    1
}
fn is_single(count: &usize) -> bool {
    *count == 1
}
fn is_f32(precision: &Precision) -> bool {
    *precision == Precision::F32
}
pub(crate) fn one() -> f64 {
    1.0
}
pub(crate) fn biases() -> Vec<String> {
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
    /// A batch is too small for the method.
    #[error(
        "step {step} has {images} images; the method normalises by the statistics of a batch and needs {smallest} or \
         more: raise `training.batch`, or give more training images"
    )]
    SmallBatch {
        /// Images of the batch.
        images: usize,
        /// Fewest images of a batch.
        smallest: usize,
        /// 0-based step.
        step: usize,
    },
    /// The parameters of the epochs could not be aggregated.
    #[error(transparent)]
    Aggregation(#[from] AggregationError),
    /// The record could not be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A saved state is of another training.
    #[error(transparent)]
    State(#[from] StateError),
    /// Saved buffers are of another method.
    #[error("the saved state does not fit the method: {0}")]
    Buffers(#[from] BufferError),
}

/// A step that has been taken.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// Number of steps so far.
    pub done: usize,
    /// Number of steps of the run.
    pub total: usize,
    /// Whether it was the last step of an epoch or of the run.
    pub ends_epoch: bool,
    /// The parameters after the step.
    pub parameters: &'a Parameters,
}

/// A training under way.
pub struct Training<'a> {
    method: &'a mut dyn Method,
    batches: Accumulation<'a>,
    config: &'a TrainingConfig,
    parameters: Parameters,
    optimiser: Optimiser,
    aggregate: Option<EpochAggregate>,
    selector: Option<Selector<'a>>,
    done: usize,
    total: usize,
}

impl<'a> Training<'a> {
    /// Before the first step. `method` computes what is frozen for images that never change.
    ///
    /// # Errors
    /// [`TrainError::Aggregation`] for an aggregation that the number of epochs does not allow.
    pub fn new(
        method: &'a mut dyn Method,
        source: &'a dyn BatchSource,
        config: &'a TrainingConfig,
    ) -> Result<Self, TrainError> {
        if let Some(images) = source.unchanging() {
            method.prepare(&images);
        }
        // Steps need memory of other sizes than whatever came before.
        regulus_kernels::release_memory();
        let batches = Accumulation::new(source, config.accumulate);
        let total = config.total_steps(batches.steps_per_epoch());
        let mut training = Self {
            parameters: method.parameters(),
            method,
            batches,
            config,
            optimiser: Optimiser::default(),
            aggregate: None,
            selector: None,
            done: 0,
            total,
        };
        let epochs = training.epochs();
        let aggregated = config.aggregated();
        training.aggregate = aggregated.map(|(spec, _)| EpochAggregate::new(spec, epochs)).transpose()?;
        Ok(training)
    }

    /// Ends with the epoch that `selector` finds best.
    #[must_use]
    pub fn selecting(self, selector: Option<Selector<'a>>) -> Self {
        Self { selector, ..self }
    }

    /// The number of steps after which the parameters were taken that the run ends with, where that is chosen.
    pub fn selected_step(&self) -> Option<usize> {
        Some(self.selector.as_ref()?.best()?.done)
    }

    /// Goes on from `state` instead of from the beginning.
    ///
    /// # Errors
    /// [`TrainError::State`] if it is of another training.
    pub fn resume(self, state: TrainingState) -> Result<Self, TrainError> {
        state.check(&self.parameters)?;
        let epochs = self.epochs();
        let aggregate = match (self.config.aggregated(), state.aggregate) {
            (Some((spec, _)), Some(sum)) => Some(EpochAggregate::resume(spec, epochs, sum)?),
            (None, None) => None,
            _ => return Err(StateError { reason: "the aggregation differs".into() }.into()),
        };
        self.method.restore_buffers(&state.buffers)?;
        let mut selector = self.selector;
        selector.iter_mut().for_each(|selector| selector.resume(state.selected.clone()));
        let optimiser = Optimiser::with_memory(state.memory);
        Ok(Self { parameters: state.parameters, optimiser, aggregate, selector, done: state.done, ..self })
    }

    /// What [`Training::resume`] needs to go on from here.
    pub fn state(&self) -> TrainingState {
        TrainingState {
            done: self.done,
            parameters: self.parameters.clone(),
            memory: self.optimiser.memory().clone(),
            aggregate: self.aggregate.as_ref().map(EpochAggregate::state),
            buffers: self.method.buffers(),
            selected: self.selector.as_ref().and_then(|selector| selector.best().cloned()),
        }
    }

    /// Takes the next step; `None` behind the last one.
    ///
    /// # Errors
    /// [`TrainError`] for an image that cannot be read, a loss that is no number, and a record that cannot be written.
    pub fn step(&mut self, recorder: &mut Recorder) -> Result<Option<Taken<'_>>, TrainError> {
        let (config, step) = (self.config, self.done);
        if step == self.total {
            return Ok(None);
        }
        let taken = self.batches.step(step, self.method, &self.parameters)?;
        let Some((epoch, mut outcome)) = taken else { return Ok(None) };
        if !outcome.loss.is_finite() {
            let learning_rate = config.learning_rate;
            return Err(TrainError::NonFinite { loss: outcome.loss, step, learning_rate });
        }
        for (max_norm, group) in config.clipped() {
            stages::within(Stage::Optimiser, || {
                clip_global_norm(&mut outcome.gradients, max_norm, |name| name.starts_with(group.as_str()));
            });
        }
        let per_epoch = self.batches.steps_per_epoch();
        let rate = config.schedule.rate(config.learning_rate, step, self.total, per_epoch);
        let moment = Moment { step, total: self.total, per_epoch };
        self.parameters = stages::within(Stage::Optimiser, || {
            self.optimiser.step(&self.parameters, outcome.gradients, |name| {
                config.pace(name, self.method.is_head(name), moment)
            })
        });
        let (loss, terms) = (outcome.loss, outcome.terms);
        recorder.step(&StepRecord { step, epoch, learning_rate: rate, loss, terms })?;
        self.done += 1;
        let ends_epoch = self.done.is_multiple_of(per_epoch) || self.done == self.total;
        if let Some(aggregate) = self.aggregate.as_mut().filter(|_| ends_epoch) {
            aggregate.add(&config.aggregated_of(&self.parameters))?;
        }
        if let Some(selector) = self.selector.as_mut().filter(|_| ends_epoch) {
            let accuracy = selector.look(self.method, &self.parameters, self.done);
            recorder.score("val", &format!("accuracy_after_step_{}", self.done), accuracy)?;
        }
        Ok(Some(Taken { done: self.done, total: self.total, ends_epoch, parameters: &self.parameters }))
    }

    /// The final parameters: those of the last step or of the chosen epoch, or the aggregate of all epochs.
    ///
    /// # Errors
    /// [`TrainError::Aggregation`] before the last step.
    pub fn finish(self) -> Result<Parameters, TrainError> {
        if let Some(best) = self.selector.as_ref().and_then(Selector::best) {
            self.method.restore_buffers(&best.buffers)?;
            return Ok(best.parameters.clone());
        }
        match self.aggregate {
            Some(aggregate) => {
                let mean = aggregate.finish(&self.config.aggregated_of(&self.parameters))?;
                Ok(self.parameters.with(&mean))
            }
            None => Ok(self.parameters),
        }
    }

    fn epochs(&self) -> usize {
        self.total.div_ceil(self.batches.steps_per_epoch())
    }
}

/// Trains `method` on the batches of `source` from the first to the last step and returns its final parameters.
/// `observe` sees every step.
///
/// # Errors
/// [`TrainError`] for an image that cannot be read, a loss that is no number, and a record that cannot be written.
pub fn train(
    method: &mut dyn Method,
    source: &dyn BatchSource,
    config: &TrainingConfig,
    recorder: &mut Recorder,
    observe: &mut dyn FnMut(Taken<'_>),
) -> Result<Parameters, TrainError> {
    let mut training = Training::new(method, source, config)?;
    while let Some(taken) = training.step(recorder)? {
        observe(taken);
    }
    training.finish()
}
