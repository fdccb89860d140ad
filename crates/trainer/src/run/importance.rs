//! Which weights matter for the training images of an experiment: a measurement before one decides what to mask.

use burn::tensor::Device;

use super::{Materials, Progress, RunError, build, build_and_train};
use crate::batches::{BatchSource, ImageSet};
use crate::experiment::Experiment;
use crate::method::Method;
use crate::methods::{Importance, importance_by_change, importance_by_gradient};
use crate::parameters::Parameters;
use crate::recorder::Recorder;
use crate::training::{Taken, TrainingConfig, train};

/// The mean absolute gradient of the cross-entropy at the pre-trained weights, over all training images in batches of
/// `batch`. The classifier is written with the first template of the data.
///
/// # Errors
/// [`RunError`] if a class prompt cannot be read.
pub fn by_gradient(
    experiment: &Experiment,
    materials: &Materials,
    device: &Device,
    batch: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Importance, RunError> {
    let Materials { pretrained, task, .. } = materials;
    let model = build::zero_shot(materials, &task.class_names)?;
    let images = ImageSet { images: &task.train, preprocess: &pretrained.preprocess, device };
    let batches = images.shuffled(experiment.spec().seed, batch);
    let total = batches.len();
    let batches = batches.inspect(|batch| progress(Progress::Training { done: batch.step, total }));
    Ok(importance_by_gradient(&model, batches))
}

/// The relative change of the weights when the experiment fine-tunes them.
///
/// # Errors
/// [`RunError`] if the experiment's method does not train all weights of the image tower, or if training stops.
pub fn by_change(
    experiment: &Experiment,
    materials: &Materials,
    device: &Device,
    progress: &mut dyn FnMut(Progress),
) -> Result<Importance, RunError> {
    check_fine_tunes(experiment)?;
    let mut recorder = Recorder::in_memory();
    let mut watch = |taken: Taken<'_>| progress(Progress::Training { done: taken.done, total: taken.total });
    let mut train = |method: &mut dyn Method, source: &dyn BatchSource, config: &TrainingConfig| {
        Ok(train(method, source, config, &mut recorder, &mut watch)?)
    };
    let (_, trained) = build_and_train(experiment, materials, device, &Parameters::default(), &mut train)?;
    Ok(importance_by_change(&materials.pretrained.clip, &trained))
}

/// Checks before any work that [`by_change`] can measure what the experiment trains.
///
/// # Errors
/// [`RunError::NotFineTuned`] if it trains anything but all weights of the image tower.
pub fn check_fine_tunes(experiment: &Experiment) -> Result<(), RunError> {
    let spec = experiment.spec();
    if spec.method.fine_tunes_image_tower() && spec.before.is_none() {
        return Ok(());
    }
    Err(RunError::NotFineTuned { method: spec.label() })
}
