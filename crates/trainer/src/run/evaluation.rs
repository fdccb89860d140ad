//! Testing at the end of a run: every test split once, with the parameters of the last step.

use std::time::Instant;

use regulus_datasets::LabelledImages;

use super::ensemble::{Other, Sweep};
use super::outcome::Evaluation;
use super::{Materials, Progress, RunError, SplitScores, build};
use crate::batches::ImageSet;
use crate::calibration::fitted_temperature;
use crate::details::{Calibration, Scored, details};
use crate::evaluate::{logits_of, score};
use crate::experiment::{EnsembleSpace, ExperimentSpec};
use crate::method::Method;
use crate::parameters::Parameters;
use crate::recorder::Recorder;

/// The split whose images are of the distribution of the training images, and which is not what a task tests.
pub(super) const IN_DISTRIBUTION: &str = "id";

/// What training ended with.
pub(super) struct Trained<'a> {
    pub spec: &'a ExperimentSpec,
    pub method: &'a dyn Method,
    pub parameters: &'a Parameters,
}

impl Trained<'_> {
    /// Scores of every test split. The temperature comes from the validation images where there are any, otherwise from
    /// the split `id` for those behind it.
    pub fn evaluate<'a>(
        &self,
        materials: &'a Materials,
        image_set: &dyn Fn(&'a LabelledImages) -> ImageSet<'a>,
        recorder: &mut Recorder,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Evaluation, RunError> {
        let Self { spec, method, parameters } = *self;
        let total = materials.task.tests.len();
        let mut splits = Vec::with_capacity(total);
        let mut sweep = Sweep::new(spec.ensemble.as_ref());
        let mut calibration = self.calibrated(materials, image_set);
        for (done, split) in materials.task.tests.iter().enumerate() {
            progress(Progress::Evaluation { done, total });
            let began = Instant::now();
            let class_names = materials.task.class_names_of(split);
            let images = image_set(&split.images);
            let renamed = if split.class_names.is_none() {
                None
            } else if spec.reads_class_names() {
                Some(build::method(spec, materials, class_names, None, &Parameters::default())?)
            } else {
                return Err(RunError::Classes { split: split.name.clone(), method: spec.label() });
            };
            let method = renamed.as_deref().unwrap_or(method);
            let logits = logits_of(method, parameters, &images);
            if logits.iter().any(|logit| !logit.is_finite()) {
                return Err(RunError::NonFinite { split: split.name.clone() });
            }
            let labels = &split.images.labels;
            let scores = score(&logits, labels, class_names.len());
            recorder.score(&split.name, "accuracy", scores.accuracy)?;
            recorder.score(&split.name, "mean_class_accuracy", scores.mean_class_accuracy)?;
            if scores.lacks_a_class() {
                recorder.score(&split.name, "mean_class_accuracy_official", f64::NAN)?;
            }
            let groups = materials.listed.as_ref().and_then(|listed| listed.groups.get(&split.name));
            let scored = Scored { logits: &logits, labels, class_names, groups };
            let details = details(scored, calibration.as_ref().map(|calibration| calibration.temperature));
            for (metric, value) in details.values() {
                recorder.score(&split.name, metric, value)?;
            }
            if calibration.is_none() && split.name == IN_DISTRIBUTION {
                calibration = fitted(&split.name, &logits, labels, class_names.len());
            }
            if let Some(space) = sweep.space() {
                let other = match space {
                    EnsembleSpace::Logits => {
                        let zero_shot = build::zero_shot(materials, class_names)?;
                        Other::Logits(logits_of(&zero_shot, &zero_shot.parameters(), &images))
                    }
                    EnsembleSpace::Weights => Other::Weights { method, trained: parameters, images: &images },
                };
                sweep.add(split, class_names.len(), &logits, &other, recorder)?;
            }
            recorder.timing(&format!("evaluation {}", split.name), began)?;
            let (split, images) = (split.name.clone(), split.images.len());
            splits.push(SplitScores { split, images, scores, details: Some(details) });
        }
        progress(Progress::Evaluation { done: total, total });
        Ok(Evaluation { splits, ensemble: sweep.finish(), calibration })
    }

    /// The temperature that fits the validation images; `None` where there are none.
    fn calibrated<'a>(
        &self,
        materials: &'a Materials,
        image_set: &dyn Fn(&'a LabelledImages) -> ImageSet<'a>,
    ) -> Option<Calibration> {
        let validation = &materials.listed.as_ref()?.validation;
        let logits = logits_of(self.method, self.parameters, &image_set(validation));
        fitted("val", &logits, &validation.labels, materials.task.class_names.len())
    }
}

fn fitted(split: &str, logits: &[f32], labels: &[usize], classes: usize) -> Option<Calibration> {
    let temperature = fitted_temperature(logits, labels, classes)?;
    Some(Calibration { temperature, split: split.to_owned(), images: labels.len() })
}
