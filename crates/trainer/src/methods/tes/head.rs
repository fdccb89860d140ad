//! What TeS puts on top of an image encoder: a classifier, and a projection into the space of the texts.

use std::collections::BTreeMap;

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use regulus_clip::{BatchNormParameters, Normalisation};
use regulus_images::random::Stream;

use crate::parameters::Parameters;

/// Name of the classifier's weight `[classes, width]`.
const CLASSIFIER_WEIGHT: &str = "fc.weight";
/// Name of the classifier's bias `[classes]`.
const CLASSIFIER_BIAS: &str = "fc.bias";
/// What the projection's names begin with: two linear maps, 0 and 3, and the normalisation 1 between them.
const PROJECTION: &str = "projection_head";

/// Shortest length that a projected feature is divided by (`F.normalize`).
const SHORTEST: f64 = 1e-12;

/// The initial values of classifier and projection, by the names of the official model (`model.py`), with the
/// projection's running statistics. Linear maps start uniform within `1 / sqrt(inputs)`, weights and biases alike
/// (PyTorch's default).
#[derive(Debug, Clone)]
pub struct TesHead {
    start: BTreeMap<String, (Tensor<1>, Vec<usize>)>,
    width: usize,
    classes: usize,
    text_width: usize,
}

impl TesHead {
    /// Random initial values: `width` of the image features, `text_width` of the texts' ones.
    pub fn new(width: usize, text_width: usize, classes: usize, seed: u64, device: &Device) -> Self {
        let mut start = BTreeMap::new();
        let mut linear = |name: String, inputs: usize, outputs: usize| {
            let bound = 1.0 / (inputs.max(1) as f64).sqrt();
            for (part, shape) in [("weight", vec![outputs, inputs]), ("bias", vec![outputs])] {
                let path = format!("{name}.{part}");
                let mut stream = Stream::new(seed, &format!("init/{path}"), 0, 0);
                let count: usize = shape.iter().product();
                let values: Vec<f32> = (0..count).map(|_| stream.range(-bound, bound) as f32).collect();
                start.insert(path, (Tensor::from_data(TensorData::new(values, [count]), device), shape));
            }
        };
        linear("fc".into(), width, classes);
        linear(format!("{PROJECTION}.0"), width, width);
        linear(format!("{PROJECTION}.3"), width, text_width);
        for (part, value) in [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)] {
            let value = Tensor::full([width], value, device);
            start.insert(format!("{PROJECTION}.1.{part}"), (value, vec![width]));
        }
        Self { start, width, classes, text_width }
    }

    /// Path and shape of every value, running statistics included.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.start.iter().map(|(path, (_, shape))| (path.as_str(), shape.as_slice()))
    }

    /// The same head with another initial value at `path`, flattened. What the head does not have, or not in this
    /// size, changes nothing and is returned as `None`.
    #[must_use]
    pub fn with_value(mut self, path: &str, value: Tensor<1>) -> Option<Self> {
        let (start, _) = self.start.get_mut(path).filter(|(start, _)| start.dims() == value.dims())?;
        *start = value;
        Some(self)
    }

    /// Width of the image features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Width of the projected features.
    pub fn text_width(&self) -> usize {
        self.text_width
    }

    /// Whether a parameter of this name belongs to the head.
    pub(super) fn owns(path: &str) -> bool {
        path.starts_with("fc.") || path.starts_with(PROJECTION)
    }

    /// Adds what is trained.
    pub(super) fn add_to(&self, parameters: &mut Parameters) {
        let trained = self.start.iter().filter(|(path, _)| !regulus_clip::RunningStatistics::holds(path));
        for (path, (value, shape)) in trained {
            parameters.insert(path.clone(), value.clone(), shape.clone());
        }
    }

    /// Class logits `[batch, classes]` of features `[batch, width]`.
    pub(super) fn logits(&self, parameters: &Parameters, features: Tensor<2>) -> Tensor<2> {
        let weight = parameters[CLASSIFIER_WEIGHT].value.clone().reshape([self.classes, self.width]);
        features.matmul(weight.transpose()) + parameters[CLASSIFIER_BIAS].value.clone().unsqueeze::<2>()
    }

    /// Projected features of unit length, `[batch, text_width]`, of features `[batch, width]`: Linear, BatchNorm,
    /// ReLU, Linear. `running` are the statistics that the normalisation has so far.
    pub(super) fn project(
        &self,
        parameters: &Parameters,
        features: Tensor<2>,
        running: &BTreeMap<String, Tensor<1>>,
        normalisation: &mut Normalisation<'_>,
    ) -> Tensor<2> {
        let own = |path: &str| format!("{PROJECTION}.{path}");
        let trained = |path: &str| parameters[own(path).as_str()].value.clone();
        let statistic = |path: &str| {
            let path = own(path);
            running.get(&path).cloned().unwrap_or_else(|| self.start[&path].0.clone())
        };
        let linear = |x: Tensor<2>, layer: &str, outputs: usize| {
            let weight = trained(&format!("{layer}.weight")).reshape([outputs, self.width]);
            x.matmul(weight.transpose()) + trained(&format!("{layer}.bias")).unsqueeze::<2>()
        };
        let norm = BatchNormParameters {
            weight: trained("1.weight"),
            bias: trained("1.bias"),
            running_mean: statistic("1.running_mean"),
            running_var: statistic("1.running_var"),
        };
        let hidden = norm.rows(linear(features, "0", self.width), &own("1"), normalisation);
        let projected = linear(relu(hidden), "3", self.text_width);
        let length = projected.clone().powi_scalar(2).sum_dim(1).clamp_min(SHORTEST * SHORTEST).sqrt();
        projected / length
    }
}
