//! One experiment from start to end: data, model, method, training, evaluation, files.

mod adapted;
mod adapted_scores;
mod build;
mod build_adaptation;
mod build_encoder;
mod build_masks;
mod build_prompts;
mod data_size;
mod ensemble;
mod evaluation;
mod forgetting;
pub mod importance;
mod listed;
mod materials;
mod outcome;
mod resumable;
mod source;
mod stages;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use regulus_images::FileError;
use regulus_kernels::multiplying_in;

pub use adapted::{AdaptError, AdaptedClassifier, AdaptedModel, ModelPaths};
pub use adapted_scores::{MixtureError, MixtureScores, Space, mixtures, scores};
pub use build::method_of;
pub use data_size::DataSize;
pub use ensemble::EnsembleScores;
pub use forgetting::Forgetting;
pub use listed::{DataReport, ListedError, ListedParts, Listings};
pub use materials::{DataError, Inputs, Materials};
pub use outcome::{Outcome, OutcomeError, SplitScores};

use evaluation::{IN_DISTRIBUTION, Trained};
use resumable::Earlier;

use crate::adapter::{Activations, Adapter, AdapterCard, AdapterError, FORMAT};
use crate::batches::{Augmentation, BatchSource, ImageSet, Sampler};
use crate::checkpoint::CheckpointError;
use crate::class_texts::TextError;
use crate::device::{DeviceFailure, guarded};
use crate::experiment::Experiment;
use crate::files;
use crate::method::Method;
use crate::methods::adaptation::LowRankError;
use crate::methods::prompts::PromptError;
use crate::methods::{MaskError, ProbeError};
use crate::parameters::Parameters;
use crate::prefetched::Prefetched;
use crate::recorder::RecordError;
use crate::selection::{Selection, Selector};
use crate::training::{TrainError, TrainingConfig};

/// Why a run did not finish.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data or the model could not be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A prompt could not be tokenised.
    #[error("cannot write the classifier of the task: {0}")]
    Prompt(#[from] regulus_clip::TokenizeError),
    /// Training stopped.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The prompts cannot be learned by this model.
    #[error(transparent)]
    Prompts(#[from] PromptError),
    /// The model has no weights to mask.
    #[error(transparent)]
    Masks(#[from] MaskError),
    /// The model has no place for low-rank updates.
    #[error(transparent)]
    LowRank(#[from] LowRankError),
    /// A training image could be read when the run began, and cannot any more.
    #[error("cannot read a training image again to put it into the cache: {0}")]
    Cached(#[source] FileError),
    /// A change of weights is asked of a method that does not change them all.
    #[error(
        "{method} does not train all weights of the image tower, so that their change says nothing; use a method \
         that does, such as finetune"
    )]
    NotFineTuned {
        /// The method.
        method: String,
    },
    /// The texts of the classes cannot be made features.
    #[error(transparent)]
    Texts(#[from] TextError),
    /// A split asks for classes that the method does not know.
    #[error(
        "the split {split} has classes of its own, and {method} has outputs for its training classes only"
    )]
    Classes {
        /// The test split.
        split: String,
        /// The method.
        method: String,
    },
    /// The linear probe has no optimum.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// There is nothing to choose an epoch by.
    #[error(
        "`training.selection` is `id-val`, and the data have neither validation images nor a split `id`; choose          another protocol, or `last`"
    )]
    NoValidation,
    /// Numbers could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The adapter could not be saved.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The outcome could not be stored.
    #[error(transparent)]
    Outcome(#[from] OutcomeError),
    /// The trained model is broken.
    #[error(
        "the trained model gives logits that are no numbers on the split {split}; lower the learning rate"
    )]
    NonFinite {
        /// The test split.
        split: String,
    },
    /// The folder of the run cannot be made.
    #[error("cannot create the run's folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The experiment cannot be written down.
    #[error("the experiment cannot be written as TOML: {0}")]
    Toml(#[from] toml::ser::Error),
    /// A checkpoint could not be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The device did not compute the run to its end. Checkpoints that were written before stay.
    #[error("the device {device} did not finish the run: {source}")]
    Device {
        /// Backend and precision.
        device: String,
        /// Why.
        source: DeviceFailure,
    },
    /// Another process works on the run.
    #[error("another process is working on {path}; wait until it has finished, or stop it")]
    Locked {
        /// The run's folder.
        path: PathBuf,
    },
    /// The run was asked to stop while another process worked on its folder.
    #[error("stopped while another process works on {path}; run the same command again to go on")]
    StoppedWaiting {
        /// The folder.
        path: PathBuf,
    },
    /// The run was asked to stop, and its state is saved.
    #[error(
        "stopped after step {done} of {total}; run the same command again, without --force, to go on from there"
    )]
    Stopped {
        /// Steps taken.
        done: usize,
        /// Steps of the run.
        total: usize,
    },
}

/// What a run reports while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Images decoded or rendered.
    Data {
        /// How many so far.
        done: usize,
        /// Of how many.
        total: usize,
    },
    /// Optimiser steps taken.
    Training {
        /// How many so far.
        done: usize,
        /// Of how many.
        total: usize,
    },
    /// Test splits evaluated.
    Evaluation {
        /// How many so far.
        done: usize,
        /// Of how many.
        total: usize,
    },
}

/// How a run is watched and stopped.
pub struct Control<'a> {
    /// Sees all progress.
    pub progress: &'a mut dyn FnMut(Progress),
    /// Sees what a person should know: that a run goes on, or that a checkpoint is damaged.
    pub notice: &'a mut dyn FnMut(&str),
    /// Asked after every step, and while the run waits for another process: whether to save and to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Longest time between two checkpoints. There is one after every epoch besides.
    pub checkpoint_every: Duration,
    /// Whether the run starts anew whatever an earlier process has left.
    pub fresh: bool,
    /// How long another process that works on the same folder may take to end.
    pub patience: Duration,
}

impl<'a> Control<'a> {
    /// Watches a run that nothing stops, with a checkpoint every 15 minutes.
    pub fn watching(progress: &'a mut dyn FnMut(Progress), notice: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            progress,
            notice,
            stop: &|| false,
            checkpoint_every: resumable::CHECKPOINT_EVERY,
            fresh: false,
            patience: Duration::from_secs(5),
        }
    }
}

/// What keeps two processes from one run, in its folder.
const LOCK: &str = "run.lock";

/// What a run has trained, in its folder.
const ADAPTER: &str = "adapter.safetensors";

/// The name of a run's folder: readable, and unique by the identity.
pub fn folder_name(experiment: &Experiment, identity: &str) -> String {
    let spec = experiment.spec();
    let short = identity.get(..10).unwrap_or(identity);
    format!("{}-{}-s{}-{short}", spec.data.task_name(), spec.label(), spec.seed)
}

/// Runs a checked experiment on loaded materials and writes its folder: `experiment.toml`,
/// `metrics.jsonl`, `timing.jsonl`, `adapter.safetensors` (if anything was trained), `data.json` (for images on
/// disk) and, last of all, `outcome.json`. A run that an earlier process did not finish goes on from its last
/// checkpoint, with the numbers it would have had without the interruption.
///
/// # Errors
/// [`RunError`] with the file or value at fault.
pub fn run(
    experiment: &Experiment,
    materials: &Materials,
    folder: &Path,
    device: &Device,
    mut control: Control<'_>,
) -> Result<Outcome, RunError> {
    let run = Run { experiment, materials, identity: &materials.identity, folder, device };
    let mut finish = || multiplying_in(experiment.spec().model.matmul, || run.finish(&mut control));
    let finished = match materials.on_processor() {
        true => finish()?,
        false => guarded(finish)
            .map_err(|source| RunError::Device { device: materials.device_kind.clone(), source })??,
    };
    Ok(finished.outcome)
}

/// A run, or one of its earlier stages, which is a run in a folder of its own.
struct Run<'a> {
    experiment: &'a Experiment,
    materials: &'a Materials,
    identity: &'a str,
    folder: &'a Path,
    device: &'a Device,
}

/// What a run ends with.
struct Finished {
    outcome: Outcome,
    /// All parameters, those of earlier stages among them.
    parameters: Parameters,
}

impl Run<'_> {
    fn finish(&self, control: &mut Control<'_>) -> Result<Finished, RunError> {
        let Run { experiment, materials, identity, folder, device } = *self;
        let began = Instant::now();
        let at_fault = |source| RunError::Folder { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(at_fault)?;
        let lock = files::lock(&folder.join(LOCK), control.patience, control.stop).map_err(at_fault)?;
        let _held_to_the_end = lock.ok_or_else(|| match (control.stop)() {
            true => RunError::StoppedWaiting { path: folder.to_owned() },
            false => RunError::Locked { path: folder.to_owned() },
        })?;
        // From here on the folder holds an unfinished run, whatever it held before.
        Outcome::remove(folder)?;
        let fixed = stages::trained_before(self, control)?;
        let recipe = experiment.canonical_toml()?;
        outcome::write_text(&folder.join("experiment.toml"), &recipe)?;
        if let Some(listed) = &materials.listed {
            outcome::write_text(&folder.join("shots.txt"), &listed.sampled.text())?;
        }
        let mut work = Earlier::find(folder, identity, device, control)?;
        let spent = work.seconds();

        let mut train = |method: &mut dyn Method, source: &dyn BatchSource, config: &TrainingConfig| {
            let selector = selector(materials, config.selection, device)?;
            work.train(method, source, config, selector, control, began)
        };
        let (method, trained) = build_and_train(experiment, materials, device, &fixed, &mut train)?;
        let (parameters, trained_values) = (fixed.with(&trained), trained.count());
        work.recorder.timing("training", began)?;
        let mut facts = method.facts(&parameters);
        facts.extend(work.selected_step.map(|step| ("selected_step", step as f64)));
        for (name, value) in &facts {
            work.recorder.fact(name, *value)?;
        }

        let spec = experiment.spec();
        let trained = Trained { spec, method: method.as_ref(), parameters: &parameters };
        let preprocess = materials.preprocess();
        let image_set = |images| ImageSet { images, preprocess, device };
        let evaluation = trained.evaluate(materials, &image_set, &mut work.recorder, control.progress)?;
        let reference = spec
            .reference
            .as_ref()
            .and(materials.reference.as_ref())
            .map(|task| materials.with_images_of(task.clone()));
        let forgetting = match &reference {
            Some(reference) => forgetting::measure(spec, &parameters, reference, &image_set)?,
            None => Vec::new(),
        };
        for Forgetting { split, original, trained, .. } in &forgetting {
            work.recorder.score(split, "accuracy", *trained)?;
            work.recorder.score(split, "accuracy_before_training", *original)?;
        }
        if !parameters.is_empty() {
            let config = &materials.pretrained.config;
            let card = AdapterCard {
                format: FORMAT,
                method: experiment.spec().label(),
                activation: Activations::of(config),
                resolution: config.image.resolution(),
                experiment: identity.to_owned(),
                recipe,
                base_sha256: materials.pretrained.sha256.get().to_owned(),
                backbone_sha256: (materials.backbone.as_ref()).map(|loaded| loaded.sha256.get().to_owned()),
                class_names: materials.task.class_names.clone(),
                templates: materials.task.templates.clone(),
                preprocess: preprocess.clone(),
                precision: "f32".into(),
                accuracy: evaluation
                    .splits
                    .iter()
                    .map(|split| (split.split.clone(), split.scores.accuracy))
                    .collect(),
            };
            let adapter = Adapter::new(card, method.as_ref(), parameters.clone());
            adapter.save(&folder.join(ADAPTER))?;
        }
        if let Some(report) = &materials.report {
            outcome::write_json(&folder.join("data.json"), report)?;
        }
        let seconds = spent + began.elapsed().as_secs_f64();
        let outcome = Outcome::new(experiment, materials, evaluation, trained_values, seconds);
        let outcome = Outcome { identity: identity.to_owned(), forgetting, ..outcome.with_facts(facts) };
        outcome.save(folder)?;
        work.checkpoints.remove()?;
        Ok(Finished { outcome, parameters })
    }
}

/// What chooses among the epochs: the validation images of a protocol, or else the held-out training images.
fn selector<'a>(
    materials: &'a Materials,
    selection: Selection,
    device: &'a Device,
) -> Result<Option<Selector<'a>>, RunError> {
    if selection.is_last() {
        return Ok(None);
    }
    let task = &materials.task;
    let validation = materials.listed.as_ref().map(|listed| &listed.validation);
    let held_out = || task.test(IN_DISTRIBUTION).map(|split| &split.images);
    let images = validation.filter(|images| !images.is_empty()).or_else(held_out);
    let images = images.ok_or(RunError::NoValidation)?;
    let set = ImageSet { images, preprocess: materials.preprocess(), device };
    Ok(Some(Selector::new(set, task.class_names.len())))
}

/// How a method is trained on what an experiment describes.
type Train<'a> =
    dyn FnMut(&mut dyn Method, &dyn BatchSource, &TrainingConfig) -> Result<Parameters, RunError> + 'a;

/// The method of an experiment, on top of `fixed` values of earlier stages, and its parameters: those that `train` ends
/// with, or the initial ones of a method that takes no steps.
fn build_and_train(
    experiment: &Experiment,
    materials: &Materials,
    device: &Device,
    fixed: &Parameters,
    train: &mut Train<'_>,
) -> Result<(Box<dyn Method>, Parameters), RunError> {
    let task = &materials.task;
    let images = ImageSet { images: &task.train, preprocess: materials.preprocess(), device };
    let spec = experiment.spec();
    let mut method = build::method(spec, materials, &task.class_names, Some(&images), fixed)?;
    let Some(config) = &spec.training else {
        let parameters = method.parameters();
        return Ok((method, parameters));
    };
    let (batch, augmentation) = (config.batch, config.augmentation.clone());
    let sampler = Sampler { images, originals: materials.originals(), seed: spec.seed, batch, augmentation };
    let parameters = match (&config.augmentation, &materials.resized_from) {
        (Augmentation::Steps(steps), Some(originals)) => {
            let ahead = Prefetched::new(sampler, Arc::clone(originals), steps);
            train(method.as_mut(), &ahead, config)?
        }
        _ => train(method.as_mut(), &sampler, config)?,
    };
    Ok((method, parameters))
}
