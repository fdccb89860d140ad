//! From the words of a spec to a method over a loaded model.

use burn::tensor::{Device, Tensor};
use regulus_clip::{Pretrained, TokenizeError};
use regulus_datasets::Task;
use regulus_kernels::multiplying_in;

use super::build_adaptation::{AdaptationBuilder, objective};
use super::build_encoder::EncoderBuilder;
use super::build_masks::mask_tuning;
use super::build_prompts::{Learned, PromptBuilder};
use super::{Materials, RunError};
use crate::batches::ImageSet;
use crate::estimate::{Sizes, classes_at_once};
use crate::experiment::{Averaged, Experiment, ExperimentSpec, HeadInit, HeadSpec, MethodSpec, SolverSpec};
use crate::method::Method;
use crate::methods::prompts::PromptLearning;
use crate::methods::{
    FineTune, Head, HeadStart, LinearProbe, ProbeThenFineTune, Regulariser, fit_logistic_regression,
};
use crate::parameters::Parameters;
use crate::prompts::tokenize;
use crate::zero_shot::{Averaging, ZeroShot, text_features};

/// Inverse regularisation strength of the linear probe where the recipe gives none.
const DEFAULT_C: f64 = 1.0;

/// The method of an experiment before its first step, on materials that fit it. Of an experiment in stages, the last
/// stage on initial values of those before.
///
/// # Errors
/// [`RunError`] for a method that the model has no place for.
pub fn method_of(
    experiment: &Experiment,
    materials: &Materials,
    device: &Device,
) -> Result<Box<dyn Method>, RunError> {
    let (spec, task) = (experiment.spec(), &materials.task);
    let images = ImageSet { images: &task.train, preprocess: materials.preprocess(), device };
    multiplying_in(spec.model.matmul, || {
        method(spec, materials, &task.class_names, Some(&images), &Parameters::default())
    })
}

/// The method that tells `class_names` apart: those of the task, or of a split with classes of its own. `fixed` are the
/// parameters that earlier stages have trained. Without training images, what is computed from them stands open:
/// whoever asks puts in parameters and buffers that were trained before.
pub(super) fn method(
    spec: &ExperimentSpec,
    materials: &Materials,
    class_names: &[String],
    training_images: Option<&ImageSet<'_>>,
    fixed: &Parameters,
) -> Result<Box<dyn Method>, RunError> {
    let adapted = || {
        let builder = AdaptationBuilder { spec, materials, class_names, training_images };
        builder.build(fixed.clone())
    };
    if spec.before.is_some() {
        return Ok(Box::new(adapted()?));
    }
    let Materials { pretrained, task, .. } = materials;
    let encoder = EncoderBuilder { materials, class_names, seed: spec.seed };
    let prompts = PromptBuilder { materials, class_names, seed: spec.seed };
    let tune = |head: &HeadSpec, regulariser| fine_tune(materials, class_names, spec.seed, head, regulariser);
    if let MethodSpec::Joint(joint) = &spec.method
        && let Some(guided) = encoder.guided_masks(joint)?
    {
        return Ok(Box::new(guided));
    }
    let method: Box<dyn Method> = match &spec.method {
        MethodSpec::ZeroShot { templates } => {
            let count = match templates {
                Averaged::Single => 1,
                Averaged::Ensemble => task.templates.len(),
            };
            let templates = &task.templates[..count.min(task.templates.len())];
            Box::new(ZeroShot::written(pretrained, class_names, templates)?)
        }
        MethodSpec::LinearProbe { solver, c } => {
            let probe = LinearProbe::new(pretrained.clip.clone(), class_names.len(), spec.seed);
            match (solver, training_images) {
                (SolverSpec::Lbfgs, Some(images)) => {
                    Box::new(fitted(probe, task, images, c.unwrap_or(DEFAULT_C))?)
                }
                _ => Box::new(probe),
            }
        }
        MethodSpec::LpFt { c } => {
            let clip = pretrained.clip.clone();
            let probe = LinearProbe::new(clip.clone(), class_names.len(), spec.seed);
            let probe = match training_images {
                Some(images) => fitted(probe, task, images, c.unwrap_or(DEFAULT_C))?,
                None => probe,
            };
            Box::new(ProbeThenFineTune::new(clip, probe))
        }
        MethodSpec::Finetune { label_smoothing, .. } if materials.backbone.is_some() => {
            Box::new(encoder.by_labels(*label_smoothing))
        }
        MethodSpec::Finetune { head, .. } | MethodSpec::Kd { head, .. } | MethodSpec::Proreg { head, .. } => {
            Box::new(tune(head, objective(&spec.method).unwrap_or(Regulariser::None))?)
        }
        MethodSpec::L2Sp { head, alpha, beta } => {
            Box::new(tune(head, Regulariser::L2Sp { alpha: *alpha, beta: *beta })?)
        }
        MethodSpec::Tes(spec) => Box::new(encoder.tes(spec)?),
        MethodSpec::Prograd(spec) => Box::new(prompts.prograd(spec)?),
        MethodSpec::Cocoop(spec) => Box::new(prompts.cocoop(spec)?),
        MethodSpec::MaskTuning(masks) => Box::new(mask_tuning(masks, materials, class_names, spec.seed)?),
        MethodSpec::Coop(_)
        | MethodSpec::Kgcoop(_)
        | MethodSpec::Vpt(_)
        | MethodSpec::Ivlp(_)
        | MethodSpec::Maple(_)
        | MethodSpec::Promptsrc(_)
        | MethodSpec::Lora(_)
        | MethodSpec::TipAdapter(_)
        | MethodSpec::TipAdapterF(_)
        | MethodSpec::ClipAdapter(_)
        | MethodSpec::Joint(_) => match prompts.prompts_of(&spec.method)? {
            Some(Learned { prompts, regulariser }) => {
                let learning = PromptLearning::of(pretrained.clip.clone(), prompts, regulariser);
                match classes_at_once(spec, &Sizes::of(materials, class_names)) {
                    Some(classes) => Box::new(learning.with_classes_at_once(classes)),
                    None => Box::new(learning),
                }
            }
            None => Box::new(adapted()?),
        },
    };
    Ok(method)
}

/// The original model with its hand template, the first: what regularises and is mixed with a trained model.
pub(super) fn zero_shot(materials: &Materials, class_names: &[String]) -> Result<ZeroShot, TokenizeError> {
    let Materials { pretrained, task, .. } = materials;
    let features = first_template(pretrained, task, class_names)?;
    Ok(ZeroShot::new(pretrained.clip.clone(), features))
}

/// Raw text features of the first template, `[classes, embed]`.
fn first_template(
    pretrained: &Pretrained,
    task: &Task,
    class_names: &[String],
) -> Result<Tensor<2>, TokenizeError> {
    let single = &task.templates[..task.templates.len().min(1)];
    let prompts = tokenize(pretrained, class_names, single)?;
    Ok(text_features(&pretrained.clip, &prompts, Averaging::UnitFirst))
}

/// The first template writes the classifier and the teacher (design rule: the teacher is the original model
/// with its hand template).
fn fine_tune(
    materials: &Materials,
    class_names: &[String],
    seed: u64,
    head: &HeadSpec,
    regulariser: Regulariser,
) -> Result<FineTune, TokenizeError> {
    let teacher = zero_shot(materials, class_names)?;
    let head = fine_tuning_head(materials, class_names, seed, head)?;
    Ok(FineTune::new(materials.pretrained.clip.clone(), head, teacher, regulariser))
}

/// The classifier head of a fine-tuned tower, written with the first template.
pub(super) fn fine_tuning_head(
    materials: &Materials,
    class_names: &[String],
    seed: u64,
    head: &HeadSpec,
) -> Result<Head, TokenizeError> {
    let Materials { pretrained, task, .. } = materials;
    let start = match head.init {
        HeadInit::Prompt => HeadStart::Prompt(first_template(pretrained, task, class_names)?),
        HeadInit::Fresh => HeadStart::Fresh { classes: class_names.len(), seed },
        HeadInit::Promptless => HeadStart::Promptless { classes: class_names.len(), seed },
    };
    Ok(Head::new(&pretrained.clip, start, head.trained, head.scale_trained))
}

/// The probe at the optimum of its regularised objective.
fn fitted(
    probe: LinearProbe,
    task: &Task,
    training_images: &ImageSet<'_>,
    c: f64,
) -> Result<LinearProbe, RunError> {
    let features = probe.features_of(training_images).into_data_as::<f32>();
    let features: Vec<f64> = features.iter::<f32>().map(f64::from).collect();
    let classes = task.class_names.len();
    let optimum = fit_logistic_regression(&features, &task.train.labels, classes, c)?;
    let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    Ok(probe.with_weights(single(optimum.weight), single(optimum.bias)))
}
