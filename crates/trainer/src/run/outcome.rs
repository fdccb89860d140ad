//! What a finished run says of itself. Its presence is what makes a run finished.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EnsembleScores, Forgetting, LOCK, Materials};
use crate::checkpoint::Checkpoints;
use crate::details::{Calibration, Details};
use crate::evaluate::Scores;
use crate::experiment::{Experiment, RESULTS_VERSION};
use crate::files;

const FILE: &str = "outcome.json";

/// An outcome that cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum OutcomeError {
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is damaged.
    #[error("{path} is damaged ({reason}); remove its folder and run again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Scores of one test split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitScores {
    /// Name of the split.
    pub split: String,
    /// Number of test images.
    pub images: usize,
    /// The scores.
    pub scores: Scores,
    /// What else was measured; absent in older outcomes and for mixtures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// The result of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Identity of the experiment.
    pub identity: String,
    /// Name of the task.
    pub task: String,
    /// Method and variant.
    pub method: String,
    /// Seed of the run.
    pub seed: u64,
    /// Device kind and precision of the computation.
    pub device: String,
    /// Version of the numbers; see [`RESULTS_VERSION`].
    pub results_version: u32,
    /// Commit of the code that made the run, where it was known; `-changed` marks a changed working tree.
    #[serde(default)]
    pub commit: Option<String>,
    /// Class names in the order of the scores.
    pub class_names: Vec<String>,
    /// Number of training images.
    pub training_images: usize,
    /// Number of trained values.
    pub trained_values: usize,
    /// Wall-clock seconds, of all processes that worked on the run.
    pub seconds: f64,
    /// Scores by split.
    pub splits: Vec<SplitScores>,
    /// What the method says of its trained parameters; see [`Method::facts`](crate::method::Method::facts).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, f64>,
    /// The temperature of the scaled calibration errors, where one was fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// The sha256 of the run's `shots.txt`, for data under a protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_sha256: Option<String>,
    /// Zero-shot accuracy on the reference set before and after training; empty without one, and for methods that have
    /// no classifier for other classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgetting: Vec<Forgetting>,
    /// Scores of the mixtures with the zero-shot model, in the order of the experiment's shares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ensemble: Vec<EnsembleScores>,
}

/// What testing ended with.
pub(super) struct Evaluation {
    pub splits: Vec<SplitScores>,
    pub ensemble: Vec<EnsembleScores>,
    pub calibration: Option<Calibration>,
}

impl Outcome {
    pub(super) fn new(
        experiment: &Experiment,
        materials: &Materials,
        evaluation: Evaluation,
        trained_values: usize,
        seconds: f64,
    ) -> Self {
        let spec = experiment.spec();
        Self {
            identity: materials.identity.clone(),
            task: spec.data.task_name(),
            method: spec.label(),
            seed: spec.seed,
            device: materials.device_kind.clone(),
            results_version: RESULTS_VERSION,
            commit: materials.commit.clone(),
            class_names: materials.task.class_names.clone(),
            training_images: materials.task.train.len(),
            trained_values,
            seconds,
            splits: evaluation.splits,
            forgetting: Vec::new(),
            ensemble: evaluation.ensemble,
            calibration: evaluation.calibration,
            sampled_sha256: materials.listed.as_ref().map(|listed| listed.sampled.sha256()),
            facts: BTreeMap::new(),
        }
    }

    pub(super) fn with_facts(self, facts: Vec<(&'static str, f64)>) -> Self {
        let named = facts.into_iter().map(|(name, value)| (name.to_owned(), value));
        Self { facts: named.collect(), ..self }
    }

    /// The accuracy of a split, in percent.
    pub fn accuracy(&self, split: &str) -> Option<f64> {
        self.splits.iter().find(|scores| scores.split == split).map(|scores| scores.scores.accuracy)
    }

    pub(super) fn save(&self, folder: &Path) -> Result<(), OutcomeError> {
        write_json(&folder.join(FILE), self)
    }

    /// Takes the outcome of an earlier run away, so that the run counts as unfinished.
    pub(super) fn remove(folder: &Path) -> Result<(), OutcomeError> {
        let path = folder.join(FILE);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(OutcomeError::Write { path, source })
            }
            _ => Ok(()),
        }
    }

    /// The outcome of a finished run; `None` if the run in `folder` has not finished.
    ///
    /// # Errors
    /// [`OutcomeError::Damaged`] if the file exists and cannot be understood.
    pub fn load(folder: &Path) -> Result<Option<Self>, OutcomeError> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OutcomeError::Damaged { path, reason: error.to_string() }),
        };
        let outcome = serde_json::from_str(&text);
        outcome.map(Some).map_err(|error| OutcomeError::Damaged { path, reason: error.to_string() })
    }

    /// As [`Self::load`], for whoever would go on with a run that has not finished. Checkpoints of one that has are
    /// removed: its process may have been killed before it came to that.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn of_finished(folder: &Path) -> Result<Option<Self>, OutcomeError> {
        let outcome = Self::load(folder)?;
        let lock = || files::lock(&folder.join(LOCK), Duration::ZERO, &|| false);
        if outcome.is_some()
            && let Ok(Some(_held)) = lock()
        {
            // What stays only takes room.
            let _ = Checkpoints::in_folder(folder, "").remove();
        }
        Ok(outcome)
    }
}

pub(super) fn write_text(path: &Path, text: &str) -> Result<(), OutcomeError> {
    let written = crate::files::replace(path, text.as_bytes());
    written.map_err(|source| OutcomeError::Write { path: path.to_owned(), source })
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), OutcomeError> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => write_text(path, &text),
        Err(error) => Err(OutcomeError::Write { path: path.to_owned(), source: error.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outcome from before methods could say anything of their parameters.
    const OLD: &str = r#"{"identity": "a", "task": "t", "method": "kd", "seed": 1, "device": "cpu-f32",
        "results_version": 2, "class_names": [], "training_images": 0, "trained_values": 0, "seconds": 0.5,
        "splits": []}"#;

    #[test]
    fn an_outcome_without_facts_is_read_and_written_without() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), OLD).unwrap();
        let outcome = Outcome::load(folder.path()).unwrap().unwrap();
        assert!(outcome.facts.is_empty());
        outcome.save(folder.path()).unwrap();
        assert!(!std::fs::read_to_string(folder.path().join(FILE)).unwrap().contains("facts"));
        let told = outcome.with_facts(vec![("masked_weights", 7.0)]);
        told.save(folder.path()).unwrap();
        assert_eq!(Outcome::load(folder.path()).unwrap(), Some(told));
    }

    #[test]
    fn only_what_has_finished_loses_its_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("checkpoint-b.safetensors");
        std::fs::write(&checkpoint, "values").unwrap();
        assert_eq!(Outcome::of_finished(folder.path()).unwrap(), None);
        assert!(checkpoint.exists(), "the run goes on from there");
        std::fs::write(folder.path().join(FILE), OLD).unwrap();
        let held = files::lock(&folder.path().join(LOCK), Duration::ZERO, &|| false).unwrap().unwrap();
        assert!(Outcome::of_finished(folder.path()).unwrap().is_some() && checkpoint.exists());
        drop(held);
        assert!(Outcome::of_finished(folder.path()).unwrap().is_some() && !checkpoint.exists());
    }
}
