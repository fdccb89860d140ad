//! From the words of a spec to a method over a loaded model.

use burn::tensor::Tensor;
use regulus_clip::{Pretrained, TokenizeError};
use regulus_datasets::Task;
use regulus_losses::TeacherWeight;

use super::build_encoder::EncoderBuilder;
use super::build_masks::mask_tuning;
use super::build_prompts::PromptBuilder;
use super::{Materials, RunError};
use crate::batches::ImageSet;
use crate::experiment::{Averaged, ExperimentSpec, HeadInit, HeadSpec, MethodSpec, SolverSpec, WeightForm};
use crate::method::Method;
use crate::methods::{FineTune, Head, HeadStart, LinearProbe, Regulariser, fit_logistic_regression};
use crate::prompts::tokenize;
use crate::zero_shot::{Averaging, ZeroShot, text_features};

/// Inverse regularisation strength of the linear probe where the recipe gives none.
const DEFAULT_C: f64 = 1.0;

/// The method that tells `class_names` apart: those of the task, or of a split with classes of its own. Without
/// `training_images` it is as it will be trained, or given the parameters of an adapter.
pub(super) fn method(
    spec: &ExperimentSpec,
    materials: &Materials,
    class_names: &[String],
    training_images: Option<&ImageSet<'_>>,
) -> Result<Box<dyn Method>, RunError> {
    let Materials { pretrained, task, .. } = materials;
    let encoder = EncoderBuilder { materials, class_names, seed: spec.seed };
    let prompts = PromptBuilder { materials, class_names, seed: spec.seed };
    let tune = |head: &HeadSpec, regulariser| fine_tune(materials, class_names, spec.seed, head, regulariser);
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
                (SolverSpec::Sgd, _) | (SolverSpec::Lbfgs, None) => Box::new(probe),
            }
        }
        MethodSpec::Finetune { label_smoothing, .. } if materials.backbone.is_some() => {
            Box::new(encoder.by_labels(*label_smoothing))
        }
        MethodSpec::Finetune { head, label_smoothing } => {
            let smoothed = Regulariser::LabelSmoothing { epsilon: *label_smoothing };
            let regulariser = if *label_smoothing > 0.0 { smoothed } else { Regulariser::None };
            Box::new(tune(head, regulariser)?)
        }
        MethodSpec::Kd { head, alpha, temperature } => {
            let regulariser = Regulariser::ConstantDistillation { alpha: *alpha, temperature: *temperature };
            Box::new(tune(head, regulariser)?)
        }
        MethodSpec::Proreg { head, form, gamma, alpha, temperature } => {
            let form = match form {
                WeightForm::Prob => TeacherWeight::Prob,
                WeightForm::Exp10 => TeacherWeight::Exp10,
                WeightForm::Power => TeacherWeight::Power { gamma: gamma.unwrap_or(1.0) },
            };
            let regulariser = Regulariser::ProReg { form, alpha: *alpha, temperature: *temperature };
            Box::new(tune(head, regulariser)?)
        }
        MethodSpec::L2Sp { head, alpha, beta } => {
            Box::new(tune(head, Regulariser::L2Sp { alpha: *alpha, beta: *beta })?)
        }
        MethodSpec::Tes(spec) => Box::new(encoder.tes(spec)?),
        MethodSpec::Coop(spec) => Box::new(prompts.coop(spec)?),
        MethodSpec::Kgcoop(spec) => Box::new(prompts.kgcoop(spec)?),
        MethodSpec::Cocoop(spec) => Box::new(prompts.cocoop(spec)?),
        MethodSpec::Vpt(spec) => Box::new(prompts.vpt(spec)?),
        MethodSpec::Ivlp(spec) => Box::new(prompts.ivlp(spec)?),
        MethodSpec::Maple(spec) => Box::new(prompts.maple(spec)?),
        MethodSpec::Promptsrc(spec) => Box::new(prompts.promptsrc(spec)?),
        MethodSpec::MaskTuning(masks) => Box::new(mask_tuning(masks, materials, class_names, spec.seed)?),
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
    let Materials { pretrained, task, .. } = materials;
    let clip = &pretrained.clip;
    let features = first_template(pretrained, task, class_names)?;
    let teacher = ZeroShot::new(clip.clone(), features.clone());
    let start = match head.init {
        HeadInit::Prompt => HeadStart::Prompt(features),
        HeadInit::Fresh => HeadStart::Fresh { classes: class_names.len(), seed },
        HeadInit::Promptless => HeadStart::Promptless { classes: class_names.len(), seed },
    };
    let head = Head::new(clip, start, head.trained, head.scale_trained);
    Ok(FineTune::new(clip.clone(), head, teacher, regulariser))
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
