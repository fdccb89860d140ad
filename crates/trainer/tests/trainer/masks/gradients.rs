//! Gradients of masks against finite differences: no masks of an MLP or of a residual network are recorded.
//!
//! The binary masks have no slope. What the straight-through gradient promises is that of a smooth stand-in: the loss
//! along `W' + e u W` for a masked weight `W'` and any direction `u`, for entries that are on and off alike. The loss
//! is computed in f64 on the CPU.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use regulus_clip::{Injection, Part};
use regulus_images::random::Stream;
use regulus_losses::cross_entropy;
use regulus_trainer::batches::Batch;
use regulus_trainer::device::by_name;
use regulus_trainer::method::Method;
use regulus_trainer::parameters::Parameters;
use regulus_trainer::zero_shot::ZeroShot;

use super::models::{ALL, mixed, tiny_resnet, tiny_vit, tuning};
use crate::support::{device, host};

/// Step of the differences.
const STEP: f64 = 1e-6;
#[test]
fn of_a_transformer() {
    check(tiny_vit, 1e-4, &[".conv1.", ".in_proj_weight", ".out_proj.", ".c_fc.", ".c_proj."]);
}

#[test]
fn of_a_residual_network() {
    let stem_and_blocks = ["visual.conv1.", "visual.conv3.", "layer2.1.conv2.", ".downsample.0."];
    let pool = ["attnpool.q_proj.", "attnpool.k_proj.", "attnpool.v_proj.", "attnpool.c_proj."];
    // Some ReLUs stand so near their kinks that f32 takes the other side.
    check(tiny_resnet, 1e-3, &[stem_and_blocks, pool].concat());
}

/// Checks the gradient of every mask of a model, among them those of `kinds`. `tolerance` is what f32 explains, relative
/// to the length of a gradient.
fn check(model: fn(&Device) -> (ZeroShot, Batch), tolerance: f64, kinds: &[&str]) {
    let (on_device, batch) = model(&device());
    let method = tuning(&on_device, ALL, None);
    let masks = mixed(&method.parameters());
    let gradients = method.step(&masks, &batch).gradients;
    let loss = Loss::new(model, &masks);
    let mut stream = Stream::new(4, "tests", 0, 0);
    for weight in method.masks().weights() {
        let path = weight.path.as_str();
        let gradient = host(gradients[path].clone());
        let length = norm(&gradient);
        assert!(length > 1e-4, "{path}: the gradient is {length}");
        let is_on: Vec<bool> = host(masks[path].value.clone()).into_iter().map(|mask| mask > 5e-3).collect();
        let random: Vec<f64> = gradient.iter().map(|_| stream.normal()).collect();
        let only = |on: bool| -> Vec<f64> {
            random.iter().zip(&is_on).map(|(part, is_on)| if *is_on == on { *part } else { 0.0 }).collect()
        };
        for (what, direction) in [("all", random.clone()), ("on", only(true)), ("off", only(false))] {
            let expected: f64 = gradient.iter().zip(&direction).map(|(a, b)| a * b).sum();
            let slope = loss.slope(path, &direction);
            let deviation = (slope - expected).abs() / length;
            assert!(deviation < tolerance, "{path}, {what}: {slope} against {expected}, length {length}");
        }
        let off: Vec<f64> =
            gradient.iter().zip(&is_on).filter(|(_, on)| !**on).map(|(slope, _)| *slope).collect();
        assert!(norm(&off) > 0.05 * length, "{path}: entries that are off have a gradient too");
    }
    for kind in kinds {
        assert!(
            method.masks().weights().iter().any(|weight| weight.path.contains(kind)),
            "{kind} is not masked"
        );
    }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The loss of a batch as a function of the image tower's weights, in f64.
struct Loss {
    model: ZeroShot,
    batch: Batch,
    /// Frozen and masked weights by path.
    weights: BTreeMap<String, (Vec<f64>, Vec<f64>)>,
    cpu: Device,
}

impl Loss {
    fn new(model: fn(&Device) -> (ZeroShot, Batch), masks: &Parameters) -> Self {
        let cpu = by_name("cpu").unwrap();
        let (model, batch) = model(&cpu);
        let weights = model.clip().parameters(Part::Image).into_iter().map(|parameter| {
            let frozen = host(parameter.value);
            let masked = match masks.get(&parameter.path) {
                Some(mask) => host(mask.value.clone()).iter().zip(&frozen).map(masked).collect(),
                None => frozen.clone(),
            };
            (parameter.path, (frozen, masked))
        });
        let weights = weights.collect();
        let pixels = batch.pixels.clone().cast(FloatDType::F64);
        let features = model.text_features().cast(FloatDType::F64);
        let model = ZeroShot::new(model.clip().clone(), features);
        Self { model, batch: Batch { pixels, ..batch }, weights, cpu }
    }

    /// The central difference along `direction` times the frozen weight at `path`.
    fn slope(&self, path: &str, direction: &[f64]) -> f64 {
        let (frozen, masked) = &self.weights[path];
        let at = |step: f64| {
            let way = direction.iter().zip(frozen).map(|(part, weight)| step * part * weight);
            self.value(path, &masked.iter().zip(way).map(|(weight, way)| weight + way).collect::<Vec<f64>>())
        };
        (at(STEP) - at(-STEP)) / (2.0 * STEP)
    }

    fn value(&self, path: &str, weight: &[f64]) -> f64 {
        let injection = self.weights.iter().fold(Injection::none(), |injection, (other, (_, masked))| {
            let values = if other == path { weight } else { masked };
            injection.replace(other.clone(), self.double(values))
        });
        let logits = self.model.classify_with(self.batch.pixels.clone(), &injection);
        cross_entropy(logits, self.batch.labels.clone()).mean().into_scalar()
    }

    fn double(&self, values: &[f64]) -> Tensor<1> {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        Tensor::from_data(data, (&self.cpu, DType::F64))
    }
}

fn masked((mask, weight): (&f64, &f64)) -> f64 {
    if *mask > 5e-3 { *weight } else { 0.0 }
}
