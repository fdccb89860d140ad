//! Scores of adapters on test splits, alone and mixed two by two.

use regulus_datasets::{LabelledImages, Task};
use serde::Serialize;

use super::ensemble::mixture;
use super::{AdaptError, AdaptedModel, SplitScores};
use crate::adapter::{Adapter, MeanError};
use crate::details::{Scored, details};
use crate::evaluate::score;
use crate::experiment::ExperimentSpec;

/// What a mixture of two adapters is a mean of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// The logits of each image.
    Logits,
    /// The trained values.
    Weights,
}

/// Scores of one mixture of two adapters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MixtureScores {
    /// Share of the first, in [0, 1].
    pub share: f64,
    /// Scores by split.
    pub splits: Vec<SplitScores>,
}

/// Two adapters that cannot be mixed or scored.
#[derive(Debug, thiserror::Error)]
pub enum MixtureError {
    /// One of them cannot be used as asked.
    #[error(transparent)]
    Adapt(#[from] AdaptError),
    /// Their values have no mean.
    #[error(transparent)]
    Mean(#[from] MeanError),
    /// They look at images in two ways.
    #[error(
        "the adapters prepare images in two ways, so that they cannot look at the same: {first} and {second}"
    )]
    Preprocess {
        /// That of the first.
        first: String,
        /// That of the second.
        second: String,
    },
}

/// Scores on every test split of `task`, whose images have to be prepared for the model.
///
/// # Errors
/// [`AdaptError`] for a split whose classes the method does not know.
pub fn scores(model: &AdaptedModel, task: &Task) -> Result<Vec<SplitScores>, AdaptError> {
    let logits = split_logits(model, model.adapter(), task)?;
    Ok(scored(task, &logits))
}

/// Scores of `share first + (1 - share) second` for every share. In the space of weights the values are put into the
/// first's models, which have to be those of both.
///
/// # Errors
/// [`MixtureError`] for adapters that have no mean, and splits whose classes one of them does not know.
pub fn mixtures(
    first: &AdaptedModel,
    second: &AdaptedModel,
    task: &Task,
    space: Space,
    shares: &[f64],
) -> Result<Vec<MixtureScores>, MixtureError> {
    match space {
        Space::Weights => {
            check_methods(first, second)?;
            first.adapter().check_mean(second.adapter())?;
            let of_share = |&share: &f64| {
                let mean = first.adapter().mean(second.adapter(), share)?;
                let logits = split_logits(first, &mean, task)?;
                Ok(MixtureScores { share, splits: scored(task, &logits) })
            };
            shares.iter().map(of_share).collect()
        }
        Space::Logits => {
            let (of_first, of_second) = (first.preprocess(), second.preprocess());
            if of_first != of_second {
                let (first, second) = (format!("{of_first:?}"), format!("{of_second:?}"));
                return Err(MixtureError::Preprocess { first, second });
            }
            let of_first = split_logits(first, first.adapter(), task)?;
            let of_second = split_logits(second, second.adapter(), task)?;
            let of_share = |&share: &f64| {
                let pairs = of_first.iter().zip(&of_second);
                let mixed: Vec<Vec<f32>> = pairs.map(|(a, b)| mixture(a, b, share)).collect();
                MixtureScores { share, splits: scored(task, &mixed) }
            };
            Ok(shares.iter().map(of_share).collect())
        }
    }
}

/// Values of two methods mean different things, unless both are weights of the image tower under a head.
fn check_methods(first: &AdaptedModel, second: &AdaptedModel) -> Result<(), MeanError> {
    let (a, b) = (first.spec(), second.spec());
    let tower = |spec: &ExperimentSpec| spec.before.is_none() && spec.method.fine_tunes_image_tower();
    if a.label() == b.label() || (tower(a) && tower(b)) {
        return Ok(());
    }
    Err(MeanError::Cards { what: "methods", first: a.label(), second: b.label() })
}

/// Logits of every test split, row by row `[images, classes]`.
fn split_logits(model: &AdaptedModel, adapter: &Adapter, task: &Task) -> Result<Vec<Vec<f32>>, AdaptError> {
    let logits = task.tests.iter().map(|split| {
        let classifier = model.classifier_of(adapter, task.class_names_of(split))?;
        classifier.predictor()(&split.images)
    });
    logits.collect()
}

fn scored(task: &Task, logits: &[Vec<f32>]) -> Vec<SplitScores> {
    let splits = task.tests.iter().zip(logits);
    let scored = splits.map(|(split, logits)| {
        let labels: &LabelledImages = &split.images;
        let class_names = task.class_names_of(split);
        let of_split = Scored { logits, labels: &labels.labels, class_names, groups: None };
        SplitScores {
            split: split.name.clone(),
            images: labels.len(),
            scores: score(logits, &labels.labels, class_names.len()),
            details: Some(details(of_split, None)),
        }
    });
    scored.collect()
}
