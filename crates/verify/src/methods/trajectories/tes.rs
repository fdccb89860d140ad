//! TeS on CLIP's image tower and on a residual network.

use super::start::{RecordedBatches, Start};
use super::{Trained, learning_rates, stepped, values};
use crate::checks::{Checks, host};
use crate::error::CaseError;
use crate::methods::agreement::widest;
use crate::methods::notes::Notes;
use crate::recorded::Recorded;
use burn::tensor::{DType, Device, FloatDType, Tensor};
use regulus_clip::{
    Backbone, BlockKind, Injection, Precision, ResNet, ResNetArchitecture, ResNetLayer, RunningStatistics,
};
use regulus_losses::TesSettings;
use regulus_trainer::batches::{Augmentation, Batch};
use regulus_trainer::method::{Method, Objective, StepOutcome};
use regulus_trainer::methods::{EncoderTuning, ImageEncoder, Supervision};
use regulus_trainer::optim::Rule;
use regulus_trainer::parameters::Parameters;
use regulus_trainer::schedule::{Decay, Pace, Schedule, Warmup};
use regulus_trainer::training::TrainingConfig;
use serde_json::Value;
use std::collections::BTreeMap;

/// Features and projections of unit length; the recorded test features are of the order of 1.
const UNIT: f64 = 1e-6;
/// Channels of a bottleneck block's output per channel of its inner convolutions.
const EXPANSION: usize = 4;
/// How the recorded residual network gets smaller.
const STRIDE: &str = "3x3 conv";

/// Whether the notes are those of TeS.
pub(super) fn recognises(notes: &Notes) -> bool {
    notes.get("lambda_v").is_number() && notes.text("backbone").is_some()
}

pub(super) fn run(checks: &mut Checks<'_>, notes: &Notes, start: &Start) -> Result<(), CaseError> {
    let io = checks.recorded;
    let unsupported = |error: &dyn std::fmt::Display| CaseError::Unsupported(error.to_string());
    // TeS writes its prompts without a full stop; the recordings share those of the other methods, which have one.
    let text = start.clip.encode_text(&start.io.rows("tokens")?, &Injection::none());
    let found = host(&regulus_clip::normalise(text.clone())).map_err(CaseError::Unsupported)?;
    checks.values("out.text", &found, &io.flat("out.text")?, UNIT);

    let device = &start.device;
    let initial = initial(io, device)?;
    let encoder = match notes.text("backbone") {
        Some("vit") => {
            let tower = &initial;
            let tower = tower.iter().filter(|(path, _)| path.starts_with("visual."));
            let tower = tower.map(|(path, value)| (path.clone(), value.clone())).collect();
            ImageEncoder::Clip(start.clip.with_parameters(&tower).map_err(|error| unsupported(&error))?)
        }
        Some("resnet") => residual_network(notes, &initial, device)?,
        other => return Err(CaseError::Unsupported(format!("the backbone {other:?} is not known here"))),
    };
    let settings = TesSettings {
        tau: notes.number("tau")?,
        lambda_v: notes.number("lambda_v")?,
        lambda_t: notes.number("lambda_t")?,
    };
    let precision = match &encoder {
        ImageEncoder::Clip(_) => DType::F32,
        ImageEncoder::Backbone { .. } => widest(device),
    };
    let new = |features: Tensor<2>| -> Result<EncoderTuning, CaseError> {
        let supervision = Supervision::Texts { features, settings };
        let mut method = EncoderTuning::new(encoder.clone(), supervision, 0, RunningStatistics::default());
        let of_projection =
            |path: &str| path.starts_with("projection_head.") && RunningStatistics::holds(path);
        let statistics = initial.iter().filter(|(path, _)| of_projection(path));
        let statistics = statistics.map(|(path, value)| (path.clone(), value.clone())).collect();
        method.restore_buffers(&statistics).map_err(|error| unsupported(&error))?;
        Ok(method)
    };
    let own_images = io.has("in.images");
    let batches = if own_images { start.batches_of(io, "in.")? } else { start.batches()? };
    let method = new(text.clone())?;
    let from = started(io, &method.parameters(), &initial)?;
    first_loss(checks, notes, &method, &from, &batches)?;
    let text = text.cast(FloatDType::from(precision));
    let mut method = InPrecision { method: new(text)?, from, precision };
    let outcome = stepped(&mut method, &batches, &config(notes, io)?)?;
    learning_rates(checks, notes, &outcome);
    losses(checks, notes, &outcome)?;
    let method = method.method;
    final_parameters(checks, notes, &method, &outcome)?;

    let images = if own_images { io.tensor("in.test_images", device)? } else { start.test_images()? };
    let trained = cast(outcome.last(), DType::F32);
    let features = method.features(&trained, images.clone());
    let projected = method.projected(&trained, features.clone());
    let projected = projected.ok_or_else(|| CaseError::Unsupported("nothing is projected".to_string()))?;
    let logits = method.logits(&trained, images);
    for (name, found) in [("test_features", features), ("test_proj", projected), ("test_logits", logits)] {
        let name = format!("out.{name}");
        let found = host(&found).map_err(CaseError::Unsupported)?;
        checks.values(&name, &found, &io.flat(&name)?, notes.tolerance("out", UNIT));
    }
    Ok(())
}

/// A method that is trained in another precision than that of its model.
///
/// The recorded residual network is: in its second step a ReLU stands 4e-6 away from its kink, which is what rounding
/// in f32 makes of activations so deep in a network with batch normalisation (2e-6 on average, in PyTorch as here).
/// On its other side the run takes another way.
struct InPrecision {
    method: EncoderTuning,
    from: Parameters,
    precision: DType,
}

impl Method for InPrecision {
    fn parameters(&self) -> Parameters {
        cast(&self.from, self.precision)
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        self.method.objective(parameters, &self.prepared(batch))
    }

    fn step(&self, parameters: &Parameters, batch: &Batch) -> StepOutcome {
        self.method.step(parameters, &self.prepared(batch))
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.method.logits(parameters, pixels)
    }
}

impl InPrecision {
    fn prepared(&self, batch: &Batch) -> Batch {
        Batch { pixels: batch.pixels.clone().cast(FloatDType::from(self.precision)), ..batch.clone() }
    }
}

fn cast(parameters: &Parameters, precision: DType) -> Parameters {
    parameters.map(|_, leaf| leaf.value.clone().cast(FloatDType::from(precision)))
}

fn config(notes: &Notes, io: &Recorded) -> Result<TrainingConfig, CaseError> {
    let norm = notes.get("bn");
    if (notes.number_in(norm, "momentum")?, notes.number_in(norm, "eps")?) != (0.1, 1e-5) {
        return Err(notes.form("bn", norm, "batch normalisation with momentum 0.1 and eps 1e-5"));
    }
    Ok(TrainingConfig {
        steps: Some(io.flat("loss")?.len()),
        epochs: None,
        batch: 0,
        accumulate: 1,
        memory_budget: None,
        precision: Precision::F32,
        learning_rate: notes.number("lr")?,
        head_multiplier: 1.0,
        weight_decay: notes.number("weight_decay")?,
        no_decay: Vec::new(),
        clip_norm: None,
        clip_groups: Vec::new(),
        augmentation: Augmentation::None,
        schedule: Schedule { warmup: 0.0, rise: Warmup::FromZero, decay: Decay::Cosine, pace: Pace::Step },
        aggregation: None,
        selection: Default::default(),
        groups: Default::default(),
        optimiser: Rule::Sgd { momentum: notes.number("momentum")?, nesterov: notes.flag("nesterov")? },
    })
}

/// The recorded initial values, flattened, by path.
fn initial(io: &Recorded, device: &Device) -> Result<BTreeMap<String, Tensor<1>>, CaseError> {
    let mut values = BTreeMap::new();
    for name in io.names() {
        if let Some(path) = name.strip_prefix("init.") {
            let flat: Vec<f32> = io.flat(name)?.into_iter().map(|value| value as f32).collect();
            values.insert(path.to_string(), Tensor::from_data(flat.as_slice(), device));
        }
    }
    Ok(values)
}

/// `parameters` with the recorded initial values.
fn started(
    io: &Recorded,
    parameters: &Parameters,
    initial: &BTreeMap<String, Tensor<1>>,
) -> Result<Parameters, CaseError> {
    let mut started = Parameters::default();
    for (path, leaf) in parameters.iter() {
        let value = initial.get(path).cloned().ok_or_else(|| io.missing(&format!("init.{path}")))?;
        if value.dims() != leaf.value.dims() {
            return Err(io.form(
                &format!("init.{path}"),
                format!("{:?}", value.dims()),
                "of the model's size",
            ));
        }
        started.insert(path.clone(), value, leaf.shape.clone());
    }
    Ok(started)
}

/// torchvision's residual network in the recorded sizes.
fn residual_network(
    notes: &Notes,
    initial: &BTreeMap<String, Tensor<1>>,
    device: &Device,
) -> Result<ImageEncoder, CaseError> {
    let sizes = notes.get("resnet");
    if notes.text_in(sizes, "stride_on")? != STRIDE {
        return Err(notes.form("stride_on", &sizes["stride_on"], STRIDE));
    }
    let four = |key: &str| -> Result<[usize; 4], CaseError> {
        let list = sizes[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let numbers: Vec<usize> = list.iter().filter_map(Value::as_u64).map(|size| size as usize).collect();
        numbers.try_into().map_err(|_| notes.form(key, &sizes[key], "four sizes"))
    };
    let (planes, blocks) = (four("planes")?, four("blocks")?);
    let layer = |index: usize| ResNetLayer {
        blocks: blocks[index],
        inner: planes[index],
        outputs: EXPANSION * planes[index],
    };
    let architecture = ResNetArchitecture {
        kind: BlockKind::Bottleneck,
        stem: notes.size_in(sizes, "stem")?,
        layers: [layer(0), layer(1), layer(2), layer(3)],
        classes: None,
    };
    let unfit =
        |error: &dyn std::fmt::Display| CaseError::Unsupported(format!("the residual network: {error}"));
    let network = ResNet::init(&architecture, 0, device).map_err(|error| unfit(&error))?;
    let network = Backbone::ResNet(network);
    let of_head = |path: &str| path.starts_with("fc.") || path.starts_with("projection_head.");
    let values: BTreeMap<String, Tensor<1>> = initial
        .iter()
        .filter(|(path, _)| !of_head(path))
        .map(|(path, value)| (path.clone(), value.clone()))
        .collect();
    if values.len() != network.shapes().len() {
        return Err(CaseError::Unsupported(format!(
            "the residual network has {} parameters, recorded are {}",
            network.shapes().len(),
            values.len()
        )));
    }
    let network = network.with_parameters(&values, device).map_err(|error| unfit(&error))?;
    Ok(ImageEncoder::Backbone { network, device: device.clone() })
}

/// The loss of the first step in f32, before roundings have any consequences.
fn first_loss(
    checks: &mut Checks<'_>,
    notes: &Notes,
    method: &EncoderTuning,
    from: &Parameters,
    batches: &RecordedBatches,
) -> Result<(), CaseError> {
    if let Some(batch) = batches.at(0) {
        let found = method.objective(from, &batch).loss.into_scalar::<f64>();
        let expected = checks.recorded.flat("loss")?;
        let expected: Vec<f64> = expected.into_iter().take(1).collect();
        checks.values("loss of the first step, in f32", &[found], &expected, notes.tolerance("loss", 1e-5));
    }
    Ok(())
}

/// The loss and its two parts.
fn losses(checks: &mut Checks<'_>, notes: &Notes, outcome: &Trained) -> Result<(), CaseError> {
    let steps = outcome.recorder.steps();
    let losses: Vec<f64> = steps.iter().map(|record| record.loss).collect();
    checks.values("loss", &losses, &checks.recorded.flat("loss")?, notes.tolerance("loss", 1e-5));
    let parts: Vec<f64> =
        steps.iter().flat_map(|record| record.terms.iter().map(|(_, value)| *value)).collect();
    let tolerance = notes.tolerance("loss_parts", 1e-5);
    checks.values("loss_parts", &parts, &checks.recorded.flat("loss_parts")?, tolerance);
    Ok(())
}

/// Everything that training moved, running statistics included.
fn final_parameters(
    checks: &mut Checks<'_>,
    notes: &Notes,
    method: &EncoderTuning,
    outcome: &Trained,
) -> Result<(), CaseError> {
    let io = checks.recorded;
    let running = method.buffers();
    let names: Vec<String> =
        io.names().filter(|name| name.starts_with("final.")).map(str::to_owned).collect();
    let moved = outcome.last().len() + running.len();
    if names.len() != moved {
        let problem = format!("{moved} are moved here, recorded are {}", names.len());
        checks.problem("final parameters", problem);
    }
    for name in names {
        let path = name.trim_start_matches("final.");
        let found = match running.get(path) {
            Some(value) => host(value).map_err(CaseError::Unsupported)?,
            None => values(outcome.last(), path)?,
        };
        checks.values(&name, &found, &io.flat(&name)?, notes.tolerance("final", 1e-6));
    }
    Ok(())
}
