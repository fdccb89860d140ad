//! Fine-tuning of the image tower: cross-entropy, constant distillation and ProReg.

use super::start::Start;
use super::{Trained, trained, values};
use crate::checks::{Checks, host};
use crate::error::CaseError;
use crate::methods::notes::Notes;
use regulus_clip::Precision;
use regulus_losses::{TeacherWeight, cross_entropy, teacher_weight};
use regulus_trainer::batches::Augmentation;
use regulus_trainer::method::Method;
use regulus_trainer::methods::{FineTune, Head, HeadStart, Regulariser};
use regulus_trainer::optim::{Moments, Rule};
use regulus_trainer::schedule::{Decay, Pace, Schedule, Warmup};
use regulus_trainer::training::TrainingConfig;
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

/// The form of ProReg's weight in the released code, which the recordings are of.
const FORM: TeacherWeight = TeacherWeight::Exp10;

pub(super) fn run(
    checks: &mut Checks<'_>,
    notes: &Notes,
    start: &Start,
    loss: &str,
) -> Result<(), CaseError> {
    let io = checks.recorded;
    let (alpha, temperature) = (notes.number("alpha")?, notes.number("T")?);
    let regulariser = match loss {
        "ce" => Regulariser::None,
        "kd" => Regulariser::ConstantDistillation { alpha, temperature },
        "xerm" => Regulariser::ProReg { form: FORM, alpha, temperature },
        other => return Err(CaseError::Unsupported(format!("the loss {other:?} is not known here"))),
    };
    let features = text_features(&start.clip, &[start.io.rows("tokens")?], Averaging::UnitFirst);
    let found = host(&features).map_err(CaseError::Unsupported)?;
    checks.values("out.text_features_init", &found, &io.flat("out.text_features_init")?, 1e-5);
    let trained_head = notes.flag("head_trained")?;
    let teacher = ZeroShot::new(start.clip.clone(), features.clone());
    let head = Head::new(&start.clip, HeadStart::Prompt(features), trained_head, trained_head);
    let mut method = FineTune::new(start.clip.clone(), head, teacher.clone(), regulariser);
    let moments = notes.list("betas")?.iter().filter_map(serde_json::Value::as_f64).collect::<Vec<f64>>();
    let &[beta1, beta2] = moments.as_slice() else {
        return Err(notes.form("betas", notes.get("betas"), "two numbers"));
    };
    let config = TrainingConfig {
        steps: Some(notes.number("total_steps")? as usize),
        epochs: None,
        batch: 0,
        accumulate: 1,
        memory_budget: None,
        precision: Precision::F32,
        learning_rate: notes.number("lr")?,
        head_multiplier: notes.number("lr_mult_head")?,
        weight_decay: notes.number("weight_decay")?,
        no_decay: notes.texts("no_decay_substrings")?,
        clip_norm: None,
        clip_groups: Vec::new(),
        augmentation: Augmentation::None,
        schedule: Schedule {
            warmup: notes.number("warmup_steps")?,
            rise: Warmup::FromZero,
            decay: Decay::Linear,
            pace: Pace::Step,
        },
        optimiser: Rule::HfAdamW(Moments { beta1, beta2, epsilon: notes.number("eps")? }),
        aggregation: None,
        selection: Default::default(),
        groups: Default::default(),
    };
    let outcome = trained(checks, notes, start, &mut method, &config)?;
    final_parameters(checks, notes, &outcome)?;
    if io.has("step.logit_scale") {
        let steps = outcome.parameters.iter().skip(1).map(|parameters| values(parameters, "logit_scale"));
        let found = steps.collect::<Result<Vec<_>, _>>()?.concat();
        checks.values(
            "step.logit_scale",
            &found,
            &io.flat("step.logit_scale")?,
            notes.tolerance("step", 1e-6),
        );
    }
    if io.has("out.w_teacher") {
        teacher_weights(checks, notes, start, &method, &teacher, &outcome)?;
    }
    let logits = method.logits(outcome.last(), start.test_images()?);
    let found = host(&logits).map_err(CaseError::Unsupported)?;
    checks.values("out.test_logits", &found, &io.flat("out.test_logits")?, notes.tolerance("out", 1e-4));
    Ok(())
}

fn final_parameters(checks: &mut Checks<'_>, notes: &Notes, outcome: &Trained) -> Result<(), CaseError> {
    let io = checks.recorded;
    let tolerance = notes.tolerance("final", 1e-6);
    let names: Vec<String> =
        io.names().filter(|name| name.starts_with("final.")).map(str::to_owned).collect();
    if names.len() != outcome.last().len() {
        let problem = format!("{} are trained here, recorded are {}", outcome.last().len(), names.len());
        checks.problem("final parameters", problem);
    }
    for name in names {
        let path = name.trim_start_matches("final.").trim_start_matches("clip.");
        let (mut found, mut expected) = (values(outcome.last(), path)?, io.flat(&name)?);
        if path.ends_with("in_proj_bias") && found.len() == expected.len() {
            // The key part has no gradient: Adam turns rounding noise into steps of the learning rate.
            let width = found.len() / 3;
            found.drain(width..2 * width);
            expected.drain(width..2 * width);
        }
        checks.values(&name, &found, &expected, tolerance);
    }
    Ok(())
}

/// The weight of the teacher for every sample of every step.
fn teacher_weights(
    checks: &mut Checks<'_>,
    notes: &Notes,
    start: &Start,
    method: &FineTune,
    teacher: &ZeroShot,
    outcome: &Trained,
) -> Result<(), CaseError> {
    let batches = start.batches()?;
    let mut found = Vec::new();
    for (step, parameters) in outcome.parameters.iter().enumerate() {
        let Some(batch) = batches.at(step) else { break };
        let student = cross_entropy(method.logits(parameters, batch.pixels.clone()), batch.labels.clone());
        let frozen = cross_entropy(teacher.classify(batch.pixels), batch.labels);
        found.extend(host(&teacher_weight(FORM, student, frozen)).map_err(CaseError::Unsupported)?);
    }
    let expected = checks.recorded.flat("out.w_teacher")?;
    checks.values("out.w_teacher", &found, &expected, notes.tolerance("out", 1e-6));
    Ok(())
}
