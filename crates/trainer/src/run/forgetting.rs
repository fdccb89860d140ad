//! What training has cost: how much of the zero-shot accuracy on a reference set of other classes is lost.

use regulus_datasets::LabelledImages;
use serde::{Deserialize, Serialize};

use super::{Materials, RunError, build};
use crate::batches::ImageSet;
use crate::evaluate::{logits_of, score};
use crate::experiment::ExperimentSpec;
use crate::method::Method;
use crate::parameters::Parameters;

/// Zero-shot accuracy on one split of the reference set, before and after training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forgetting {
    /// Name of the reference set and its split, such as `world-few-shot test`.
    pub split: String,
    /// Number of images.
    pub images: usize,
    /// Accuracy of the original model, in percent.
    pub original: f64,
    /// Accuracy of the trained model with the names of the split's classes, in percent.
    pub trained: f64,
}

impl Forgetting {
    /// How many percentage points are lost; negative where there is a gain.
    pub fn drop(&self) -> f64 {
        self.original - self.trained
    }
}

/// Zero-shot accuracy with the trained `parameters` on every split of `reference`, whose task is the reference set.
pub(super) fn measure<'a>(
    spec: &ExperimentSpec,
    parameters: &Parameters,
    reference: &'a Materials,
    image_set: &dyn Fn(&'a LabelledImages) -> ImageSet<'a>,
) -> Result<Vec<Forgetting>, RunError> {
    let Some(reading) = spec.reading_class_names() else { return Ok(Vec::new()) };
    let same_classifier = reading.method == spec.method;
    let task = &reference.task;
    let splits = task.tests.iter().map(|split| {
        let class_names = task.class_names_of(split);
        let images = image_set(&split.images);
        let accuracy = |logits: &[f32]| score(logits, &split.images.labels, class_names.len()).accuracy;
        let original = build::zero_shot(reference, class_names)?;
        let trained = build::method(&reading, reference, class_names, None, &Parameters::default())?;
        // The trained classifier stays behind where it is not the one that reads names.
        let kept = parameters.filtered(|name| same_classifier || !trained.is_head(name));
        let logits = logits_of(trained.as_ref(), &kept, &images);
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(RunError::NonFinite { split: split.name.clone() });
        }
        Ok(Forgetting {
            split: format!("{} {}", task.name, split.name),
            images: images.len(),
            original: accuracy(&logits_of(&original, &original.parameters(), &images)),
            trained: accuracy(&logits),
        })
    });
    splits.collect()
}
