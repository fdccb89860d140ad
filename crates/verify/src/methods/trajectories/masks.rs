//! R-MT with the recorded random numbers.

use super::start::Start;
use super::{Trained, learning_rates, stepped, values};
use crate::checks::{Checks, host};
use crate::error::CaseError;
use crate::methods::notes::Notes;
use crate::recorded::Recorded;
use regulus_clip::Precision;
use regulus_losses::FusedTarget;
use regulus_trainer::batches::Augmentation;
use regulus_trainer::method::Method;
use regulus_trainer::methods::{
    DropoutDraws, GradientDropout, MaskPart, MaskSettings, MaskTargets, MaskTuning, MaskedWeight,
};
use regulus_trainer::optim::{Moments, Rule};
use regulus_trainer::schedule::{Decay, Pace, Schedule, Warmup};
use regulus_trainer::training::TrainingConfig;
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};
use std::sync::Arc;

/// The optimiser of the recordings, as the notes describe it.
const ADAM: &str = "Adam (0.9, 0.999), eps 1e-8, no decay";
/// Unit features.
const UNIT: f64 = 1e-6;
/// The masks come this near to the threshold: so many may flip in f32.
const FLIPS: f64 = 2.0;

pub(super) fn run(checks: &mut Checks<'_>, notes: &Notes, start: &Start) -> Result<(), CaseError> {
    let io = checks.recorded;
    let optimiser = notes.text("optimiser").unwrap_or_default();
    if optimiser != ADAM {
        return Err(CaseError::Unsupported(format!("the optimiser {optimiser:?} is not known here")));
    }
    let modules = notes.texts("masked")?;
    let features = text_features(&start.clip, &[start.io.rows("tokens")?], Averaging::UnitFirst);
    let text = host(&regulus_clip::normalise(features.clone())).map_err(CaseError::Unsupported)?;
    checks.values("out.text", &text, &io.flat("out.text")?, UNIT);
    let steps = io.shape("loss")?.first().copied().unwrap_or_default();
    let settings = MaskSettings {
        start: notes.number("mask_init")?,
        threshold: notes.number("threshold")?,
        norm_weight: notes.number("l2_weight")?,
        dropout: Some(GradientDropout {
            lambda: notes.number("lam")?,
            temperature: notes.number("T")?,
            fuse: notes.number("fuse_alpha")?,
            target: FusedTarget::WithGradient,
        }),
    };
    let draws = Arc::new(RecordedDraws::read(io, &modules, steps)?);
    let model = ZeroShot::new(start.clip.clone(), features.clone());
    let mut method = MaskTuning::new(model, targets(&modules), settings, draws)
        .map_err(|error| CaseError::Unsupported(error.to_string()))?;
    let found: Vec<&str> = method.masks().weights().iter().map(|weight| module(&weight.path)).collect();
    if found != modules {
        return Err(CaseError::Unsupported(format!("masked are {found:?}, recorded are {modules:?}")));
    }
    let config = TrainingConfig {
        steps: Some(steps),
        epochs: None,
        batch: 0,
        accumulate: 1,
        memory_budget: None,
        precision: Precision::F32,
        learning_rate: notes.number("lr")?,
        head_multiplier: 1.0,
        weight_decay: 0.0,
        no_decay: Vec::new(),
        clip_norm: None,
        clip_groups: Vec::new(),
        augmentation: Augmentation::None,
        schedule: Schedule {
            warmup: 0.0,
            rise: Warmup::FromZero,
            decay: Decay::WholePeriodCosine,
            pace: Pace::Epoch,
        },
        optimiser: Rule::Adam(Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }),
        aggregation: None,
        selection: Default::default(),
        groups: Default::default(),
    };
    let outcome = stepped(&mut method, &start.batches()?, &config)?;
    learning_rates(checks, notes, &outcome);
    losses(checks, notes, &outcome)?;
    counts(checks, &method, &outcome)?;
    for (weight, module) in method.masks().weights().iter().zip(&modules) {
        let name = format!("final.{module}.mask_real");
        let found = values(outcome.last(), &weight.path)?;
        checks.values(&name, &found, &io.flat(&name)?, notes.tolerance("final", 1e-6));
    }
    let logits =
        host(&method.logits(outcome.last(), start.test_images()?)).map_err(CaseError::Unsupported)?;
    checks.values("out.test_logits", &logits, &io.flat("out.test_logits")?, notes.tolerance("out", 1e-4));
    let merged = method.merged(outcome.last()).map_err(|error| CaseError::Unsupported(error.to_string()))?;
    let merged = ZeroShot::new(merged, features);
    let logits = host(&merged.classify(start.test_images()?)).map_err(CaseError::Unsupported)?;
    let expected = io.flat("out.test_logits")?;
    checks.values("out.test_logits, merged", &logits, &expected, notes.tolerance("out", 1e-4));
    Ok(())
}

/// The name in the recording of the weight at `path`.
fn module(path: &str) -> &str {
    let path = path.strip_prefix("visual.").unwrap_or(path);
    [".in_proj_weight", ".weight"].iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(path)
}

fn targets(modules: &[String]) -> MaskTargets {
    let any = |part: &str| modules.iter().any(|module| module.contains(part));
    let part = match (any(".attn"), any(".mlp")) {
        (true, true) => MaskPart::All,
        (false, true) => MaskPart::Mlp,
        _ => MaskPart::Attention,
    };
    MaskTargets { part, first_convolution: any("conv1") }
}

/// The columns of the recorded losses: cross-entropy, norms and agreement with the frozen model.
fn losses(checks: &mut Checks<'_>, notes: &Notes, outcome: &Trained) -> Result<(), CaseError> {
    let term = |terms: &[(&str, f64)], name: &str| {
        terms.iter().find(|(other, _)| *other == name).map_or(f64::NAN, |(_, value)| *value)
    };
    let columns = ["cross_entropy", "mask_norm", "distillation"];
    let rows = outcome.recorder.steps().iter();
    let found: Vec<f64> = rows.flat_map(|row| columns.map(|name| term(&row.terms, name))).collect();
    checks.values("loss", &found, &checks.recorded.flat("loss")?, notes.tolerance("loss", 1e-5));
    Ok(())
}

/// How many entries are off after each step, and how many kept their gradient in it.
fn counts(checks: &mut Checks<'_>, method: &MaskTuning, outcome: &Trained) -> Result<(), CaseError> {
    let off = |parameters| method.masks().sparsity(parameters).off as f64;
    let found: Vec<f64> = outcome.parameters.iter().skip(1).map(off).collect();
    checks.values("out.off_count", &found, &checks.recorded.flat("out.off_count")?, FLIPS);
    let masked = method.masks().sparsity(outcome.last()).masked as f64;
    let kept = |terms: &[(&str, f64)]| {
        let share = terms.iter().find(|(name, _)| *name == "kept").map_or(f64::NAN, |(_, share)| *share);
        (share * masked).round()
    };
    let found: Vec<f64> = outcome.recorder.steps().iter().map(|record| kept(&record.terms)).collect();
    checks.exact("out.kept_count", &found, &checks.recorded.flat("out.kept_count")?);
    Ok(())
}

/// The recorded random numbers of every step.
#[derive(Debug)]
struct RecordedDraws {
    steps: Vec<Vec<Vec<f32>>>,
}

impl RecordedDraws {
    fn read(io: &Recorded, modules: &[String], steps: usize) -> Result<Self, CaseError> {
        let draws = |step: usize, module: &String| -> Result<Vec<f32>, CaseError> {
            let values = io.flat(&format!("u{step}.{module}"))?;
            Ok(values.into_iter().map(|value| value as f32).collect())
        };
        let of_step = |step| modules.iter().map(|module| draws(step, module)).collect();
        Ok(Self { steps: (0..steps).map(of_step).collect::<Result<_, _>>()? })
    }
}

impl DropoutDraws for RecordedDraws {
    fn draw(&self, _epoch: usize, step: usize, _masks: &[MaskedWeight]) -> Vec<Vec<f32>> {
        self.steps.get(step).cloned().unwrap_or_default()
    }
}
