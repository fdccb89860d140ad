//! One experiment from start to end: data, model, method, training, evaluation, files.

mod build;
mod build_prompts;
mod materials;
mod outcome;

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;

pub use materials::{DataError, Inputs, Materials};
pub use outcome::{Outcome, OutcomeError, SplitScores};

use crate::adapter::{self, AdapterCard, AdapterError};
use crate::batches::{ImageSet, Sampler};
use crate::evaluate::{logits_of, score};
use crate::experiment::{Experiment, ExperimentSpec};
use crate::method::Method;
use crate::methods::ProbeError;
use crate::methods::prompts::PromptError;
use crate::parameters::Parameters;
use crate::recorder::{RecordError, Recorder};
use crate::training::{Taken, TrainError, train};

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
    /// A split asks for classes that the method does not know.
    #[error(
        "the split {split} has classes of its own, and {method} has outputs for its training classes only"
    )]
    Classes {
        /// The test split.
        split: String,
        /// The method.
        method: &'static str,
    },
    /// The linear probe has no optimum.
    #[error(transparent)]
    Probe(#[from] ProbeError),
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

/// The name of a run's folder: readable, and unique by the identity.
pub fn folder_name(experiment: &Experiment, identity: &str) -> String {
    let spec = experiment.spec();
    let short = identity.get(..10).unwrap_or(identity);
    format!("{}-{}-s{}-{short}", spec.data.task_name(), spec.method.label(), spec.seed)
}

/// Runs a checked experiment on loaded materials and writes its folder: `experiment.toml`,
/// `metrics.jsonl`, `timing.jsonl`, `adapter.safetensors` (if anything was trained), `data.json` (for images on
/// disk) and, last of all, `outcome.json`.
///
/// # Errors
/// [`RunError`] with the file or value at fault.
pub fn run(
    experiment: &Experiment,
    materials: &Materials,
    folder: &Path,
    device: &Device,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, RunError> {
    let began = Instant::now();
    let made = std::fs::create_dir_all(folder);
    made.map_err(|source| RunError::Folder { path: folder.to_owned(), source })?;
    // From here on the folder holds an unfinished run, whatever it held before.
    Outcome::remove(folder)?;
    let recipe = experiment.canonical_toml()?;
    outcome::write_text(&folder.join("experiment.toml"), &recipe)?;
    let mut recorder = Recorder::in_folder(folder)?;

    let preprocess = &materials.pretrained.preprocess;
    let image_set = |images| ImageSet { images, preprocess, device };
    let training_images = image_set(&materials.task.train);
    let mut method =
        build::method(experiment.spec(), materials, &materials.task.class_names, &training_images)?;
    let parameters = match &experiment.spec().training {
        Some(config) => {
            let sampler = Sampler {
                images: training_images,
                originals: materials.originals(),
                seed: experiment.spec().seed,
                batch: config.batch,
                augmentation: config.augmentation.clone(),
            };
            let mut step =
                |taken: Taken<'_>| progress(Progress::Training { done: taken.done, total: taken.total });
            train(method.as_mut(), &sampler, config, &mut recorder, &mut step)?
        }
        None => method.parameters(),
    };
    recorder.timing("training", began)?;

    let trained = Trained { spec: experiment.spec(), method: method.as_ref(), parameters: &parameters };
    let splits = evaluate(&trained, materials, &image_set, &mut recorder, progress)?;
    if !parameters.is_empty() {
        let card = AdapterCard {
            experiment: materials.identity.clone(),
            recipe,
            base_sha256: materials.pretrained.sha256.clone(),
            class_names: materials.task.class_names.clone(),
            templates: materials.task.templates.clone(),
            preprocess: preprocess.clone(),
            precision: "f32".into(),
            accuracy: splits.iter().map(|split| (split.split.clone(), split.scores.accuracy)).collect(),
        };
        adapter::save(&folder.join("adapter.safetensors"), &parameters, &card)?;
    }
    if let Some(report) = &materials.report {
        outcome::write_json(&folder.join("data.json"), report)?;
    }
    let outcome = Outcome::new(experiment, materials, splits, parameters.count(), began.elapsed());
    outcome.save(folder)?;
    Ok(outcome)
}

/// What training ended with.
struct Trained<'a> {
    spec: &'a ExperimentSpec,
    method: &'a dyn Method,
    parameters: &'a Parameters,
}

fn evaluate<'a>(
    trained: &Trained<'_>,
    materials: &'a Materials,
    image_set: &dyn Fn(&'a regulus_datasets::LabelledImages) -> ImageSet<'a>,
    recorder: &mut Recorder,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<SplitScores>, RunError> {
    let Trained { spec, method, parameters } = *trained;
    let total = materials.task.tests.len();
    let mut splits = Vec::with_capacity(total);
    for (done, split) in materials.task.tests.iter().enumerate() {
        progress(Progress::Evaluation { done, total });
        let began = Instant::now();
        let class_names = materials.task.class_names_of(split);
        let images = image_set(&split.images);
        let logits = if split.class_names.is_none() {
            logits_of(method, parameters, &images)
        } else if spec.method.reads_class_names() {
            let training_images = image_set(&materials.task.train);
            let renamed = build::method(spec, materials, class_names, &training_images)?;
            logits_of(renamed.as_ref(), parameters, &images)
        } else {
            return Err(RunError::Classes { split: split.name.clone(), method: spec.method.name() });
        };
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(RunError::NonFinite { split: split.name.clone() });
        }
        let scores = score(&logits, &split.images.labels, class_names.len());
        recorder.score(&split.name, "accuracy", scores.accuracy)?;
        recorder.score(&split.name, "mean_class_accuracy", scores.mean_class_accuracy)?;
        recorder.timing(&format!("evaluation {}", split.name), began)?;
        splits.push(SplitScores { split: split.name.clone(), images: split.images.len(), scores });
    }
    progress(Progress::Evaluation { done: total, total });
    Ok(splits)
}
