//! Prompt learning: CoOp, CoCoOp, independent prompts, MaPLe and PromptSRC.

mod texts;

use super::start::Start;
use super::{learning_rates, stepped};
use crate::checks::{Checks, host};
use crate::error::CaseError;
use crate::methods::notes::Notes;
use burn::tensor::{Tensor, TensorData};
use regulus_clip::{Precision, TokenBatch, normalise};
use regulus_losses::{Aggregation, PromptSrcWeights};
use regulus_trainer::aggregation::AggregationSpec;
use regulus_trainer::batches::Augmentation;
use regulus_trainer::method::Method;
use regulus_trainer::methods::prompts::{
    ConditionalContext, ConditionalSettings, ContextPrompts, ContextSettings, ContextStart, CoupledPrompts,
    Depth, NamePosition, PromptLearning, PromptRegulariser, Prompts, TowerPrompts, TowerSettings,
};
use regulus_trainer::optim::Rule;
use regulus_trainer::parameters::Parameters;
use regulus_trainer::recorder::StepRecord;
use regulus_trainer::schedule::{Decay, Pace, Schedule, Warmup};
use regulus_trainer::training::TrainingConfig;
use regulus_trainer::zero_shot::{Averaging, text_features};
use serde_json::Value;
use texts::{class_prompts, unsupported};

/// Dassl's defaults, which the recordings name in words (`optimiser` in the notes).
const MOMENTUM: f64 = 0.9;
const WEIGHT_DECAY: f64 = 5e-4;

/// How far the initial prompts may stray: nothing is computed.
const INITIAL: f64 = 0.0;

/// How far features of unit length may stray.
const UNIT: f64 = 1e-6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    CoOp,
    CoCoOp,
    Independent,
    MaPLe,
    PromptSrc,
}

/// Which kind of prompt learning a case is of.
pub(super) fn recognised(notes: &Notes) -> Option<Kind> {
    match notes.text("method")? {
        "CoOp" => Some(Kind::CoOp),
        "CoCoOp" => Some(Kind::CoCoOp),
        "IVLP" => Some(Kind::Independent),
        "MaPLe" => Some(Kind::MaPLe),
        "PromptSRC" => Some(Kind::PromptSrc),
        _ => None,
    }
}

pub(super) fn run(
    checks: &mut Checks<'_>,
    notes: &Notes,
    start: &Start,
    kind: Kind,
) -> Result<(), CaseError> {
    let mut method = method(checks, notes, start, kind)?;
    first_gradients(checks, notes, start, method.as_ref())?;
    if kind == Kind::CoOp {
        let prompts = context(notes, start, TokenBatch::full_context)?.texts(&method.parameters());
        let found = host(prompts.vectors()).map_err(CaseError::Unsupported)?;
        checks.values("out.prompts", &found, &checks.recorded.flat("out.prompts")?, INITIAL);
    }
    let config = training(checks, notes, kind)?;
    let outcome = stepped(method.as_mut(), &start.batches()?, &config)?;
    losses(checks, notes, outcome.recorder.steps())?;
    learning_rates(checks, notes, &outcome);
    for (step, parameters) in outcome.parameters.iter().skip(1).enumerate() {
        leaves(checks, notes, &format!("step{step}"), parameters)?;
    }
    let mut logits = |name: &str, parameters: &Parameters| -> Result<(), CaseError> {
        let found = host(&method.logits(parameters, start.test_images()?)).map_err(CaseError::Unsupported)?;
        let expected = checks.recorded.flat(name)?;
        checks.values(name, &found, &expected, notes.tolerance("out", 1e-4));
        Ok(())
    };
    logits("out.test_logits", outcome.last())?;
    if kind == Kind::PromptSrc {
        logits("out.test_logits_gpa", &outcome.result)?;
        leaves(checks, notes, "gpa", &outcome.result)?;
        let found = Aggregation::from(aggregation(notes)?).weights(epochs(checks, notes)?);
        let found = found.map_err(|error| CaseError::Unsupported(error.to_string()))?;
        checks.relative("aggregation weights", &found, &numbers(notes.list("gpa_weights")?), 1e-12);
    }
    Ok(())
}

fn method(
    checks: &mut Checks<'_>,
    notes: &Notes,
    start: &Start,
    kind: Kind,
) -> Result<Box<dyn Method>, CaseError> {
    let initial = initial(checks, start)?;
    let words = ContextStart::Words;
    let clip = &start.clip;
    let learning = |prompts: PromptLearning| -> Result<Box<dyn Method>, CaseError> {
        Ok(Box::new(prompts.starting_from(initial.clone()).map_err(unsupported)?))
    };
    match kind {
        Kind::CoOp => {
            let prompts = context(notes, start, TokenBatch::new)?;
            learning(PromptLearning::new(clip.clone(), prompts, PromptRegulariser::None))
        }
        Kind::CoCoOp => {
            let (vectors, hidden) = (size(notes, "n_ctx")?, size(notes, "meta_hidden")?);
            let settings = ConditionalSettings { vectors, hidden, start: words };
            let prompts = class_prompts(start, vectors, TokenBatch::new)?;
            let method = ConditionalContext::new(clip.clone(), prompts, settings, 0).map_err(unsupported)?;
            Ok(Box::new(method.starting_from(initial).map_err(unsupported)?))
        }
        Kind::MaPLe => {
            let depth = Depth { layers: size(notes, "depth")?, vectors: size(notes, "n_ctx")? };
            let prompts = class_prompts(start, depth.vectors, TokenBatch::new)?;
            let prompts = CoupledPrompts::new(clip, prompts, depth, words, 0).map_err(unsupported)?;
            learning(PromptLearning::new(clip.clone(), prompts, PromptRegulariser::None))
        }
        Kind::Independent | Kind::PromptSrc => {
            let image = Depth { layers: size(notes, "depth_vision")?, vectors: size(notes, "n_ctx_vision")? };
            let text = Depth { layers: size(notes, "depth_text")?, vectors: size(notes, "n_ctx_text")? };
            let prompts = class_prompts(start, text.vectors, TokenBatch::new)?;
            let settings = TowerSettings { image, text, start: words };
            let prompts = TowerPrompts::new(clip, prompts, settings, 0).map_err(unsupported)?;
            let regulariser = match kind {
                Kind::PromptSrc => self_regulating(checks, notes, start)?,
                _ => PromptRegulariser::None,
            };
            learning(PromptLearning::new(clip.clone(), prompts, regulariser))
        }
    }
}

/// CoOp's prompts, laid out in the whole context or cut behind the last end.
fn context(
    notes: &Notes,
    start: &Start,
    layout: fn(&[Vec<u32>], &regulus_clip::TextConfig) -> Result<TokenBatch, regulus_clip::TokenBatchError>,
) -> Result<ContextPrompts, CaseError> {
    let position = match notes.text("class_token_position") {
        Some("front") => NamePosition::Front,
        Some("middle") => NamePosition::Middle,
        Some("end") => NamePosition::End,
        _ => return Err(notes.form("class_token_position", notes.get("class_token_position"), "a position")),
    };
    let settings = ContextSettings {
        vectors: size(notes, "n_ctx")?,
        per_class: notes.flag("class_specific")?,
        position,
        start: ContextStart::Words,
    };
    let prompts = class_prompts(start, settings.vectors, layout)?;
    ContextPrompts::new(&start.clip, prompts, settings, 0).map_err(unsupported)
}

fn self_regulating(
    checks: &mut Checks<'_>,
    notes: &Notes,
    start: &Start,
) -> Result<PromptRegulariser, CaseError> {
    let rows = start.io.rows("template_tokens")?;
    let prompts: Vec<Vec<Vec<u32>>> =
        rows.chunks(start.classes()?.max(1)).map(<[Vec<u32>]>::to_vec).collect();
    let texts = normalise(text_features(&start.clip, &prompts, Averaging::RawFirst));
    let found = host(&texts).map_err(CaseError::Unsupported)?;
    checks.values("out.text_frozen", &found, &checks.recorded.flat("out.text_frozen")?, UNIT);
    let weights = PromptSrcWeights {
        text: notes.number("text_weight")?,
        image: notes.number("image_weight")?,
        ..PromptSrcWeights::default()
    };
    Ok(PromptRegulariser::SelfRegulating { weights, texts })
}

/// The recorded initial values.
fn initial(checks: &Checks<'_>, start: &Start) -> Result<Parameters, CaseError> {
    let io = checks.recorded;
    let mut parameters = Parameters::default();
    for name in io.names() {
        let Some(leaf) = name.strip_prefix("init.") else { continue };
        let (values, shape) = io.values(name)?;
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        let count = values.len();
        let flat = Tensor::<1>::from_data(TensorData::new(values, [count]), &start.device);
        parameters.insert(leaf, flat, shape);
    }
    Ok(parameters)
}

fn training(checks: &Checks<'_>, notes: &Notes, kind: Kind) -> Result<TrainingConfig, CaseError> {
    let aggregation = match kind {
        Kind::PromptSrc => Some(aggregation(notes)?),
        _ => None,
    };
    Ok(TrainingConfig {
        steps: Some(checks.recorded.shape("loss")?.first().copied().unwrap_or_default()),
        epochs: None,
        batch: 0,
        accumulate: 1,
        memory_budget: None,
        precision: Precision::F32,
        learning_rate: notes.number("lr")?,
        head_multiplier: 1.0,
        weight_decay: WEIGHT_DECAY,
        no_decay: Vec::new(),
        clip_norm: None,
        clip_groups: Vec::new(),
        augmentation: Augmentation::None,
        schedule: Schedule {
            warmup: notes.number("warmup_epochs")?,
            rise: Warmup::Constant { rate: notes.number("warmup_lr")? },
            decay: Decay::WholePeriodCosine,
            pace: Pace::Epoch,
        },
        optimiser: Rule::Sgd { momentum: MOMENTUM, nesterov: false },
        aggregation,
        selection: Default::default(),
        groups: Default::default(),
    })
}

fn aggregation(notes: &Notes) -> Result<AggregationSpec, CaseError> {
    Ok(AggregationSpec::Gaussian { mean: notes.number("gpa_mean")?, std: notes.number("gpa_std")? })
}

/// Number of epochs of the run.
fn epochs(checks: &Checks<'_>, notes: &Notes) -> Result<usize, CaseError> {
    let rates = notes.list("lr_per_epoch")?.len();
    let steps = checks.recorded.shape("loss")?.first().copied().unwrap_or_default();
    Ok(rates.min(steps))
}

/// The gradients of the first step, before the optimiser sees them.
fn first_gradients(
    checks: &mut Checks<'_>,
    notes: &Notes,
    start: &Start,
    method: &dyn Method,
) -> Result<(), CaseError> {
    let batch = start.batches()?.at(0);
    let batch = batch.ok_or_else(|| CaseError::Unsupported("there is no batch for the first step".into()))?;
    let parameters = method.parameters();
    let gradients = method.step(&parameters, &batch).gradients;
    let gradients = parameters.map(|name, leaf| match gradients.get(name) {
        Some(gradient) => gradient.clone(),
        None => leaf.value.zeros_like(),
    });
    leaves(checks, notes, "grad0", &gradients)
}

/// Compares all leaves with the recorded tensors of a group, and the names of both.
fn leaves(checks: &mut Checks<'_>, notes: &Notes, group: &str, found: &Parameters) -> Result<(), CaseError> {
    for (name, leaf) in found.iter() {
        let expected = checks.recorded.flat(&format!("{group}.{name}"))?;
        let found = host(&leaf.value).map_err(CaseError::Unsupported)?;
        checks.values(&format!("{group}.{name}"), &found, &expected, notes.tolerance(group, 1e-6));
    }
    Ok(())
}

/// Compares the loss of every step with the only column, or its terms with theirs.
fn losses(checks: &mut Checks<'_>, notes: &Notes, steps: &[StepRecord]) -> Result<(), CaseError> {
    let columns = notes.texts("losses").unwrap_or_else(|_| vec!["total".into()]);
    let expected = checks.recorded.flat("loss")?;
    let factor = |key: &str| notes.number(key);
    for (column, name) in columns.iter().enumerate() {
        let (term, factor) = match name.as_str() {
            "total" => (None, 1.0),
            "ce" => (Some("cross_entropy"), 1.0),
            "scl_text" => (Some("text_agreement"), factor("text_weight")?),
            "scl_image" => (Some("image_agreement"), factor("image_weight")?),
            "scl_logits" => (Some("logit_agreement"), PromptSrcWeights::default().logits),
            other => {
                return Err(CaseError::Unsupported(format!("the loss column {other:?} is not known here")));
            }
        };
        let value = |step: &StepRecord| match term {
            None => step.loss,
            Some(term) => {
                let found = step.terms.iter().find(|(name, _)| *name == term);
                found.map_or(f64::NAN, |(_, value)| value * factor)
            }
        };
        let found: Vec<f64> = steps.iter().map(value).collect();
        let expected: Vec<f64> = expected.iter().skip(column).step_by(columns.len()).copied().collect();
        checks.values(&format!("loss ({name})"), &found, &expected, notes.tolerance("loss", 1e-5));
    }
    Ok(())
}

fn numbers(list: &[Value]) -> Vec<f64> {
    list.iter().filter_map(Value::as_f64).collect()
}

fn size(notes: &Notes, key: &str) -> Result<usize, CaseError> {
    let value = notes.get(key).as_u64().and_then(|size| usize::try_from(size).ok());
    value.ok_or_else(|| notes.form(key, notes.get(key), "a size"))
}
