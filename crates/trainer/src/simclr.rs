//! Pre-training an image encoder on images alone: SimCLR (Chen et al., "A Simple Framework for Contrastive Learning
//! of Visual Representations", ICML 2020).
//!
//! Two views of each image pass the encoder and a small network, and are pulled together and away from the views of
//! all other images ([`nt_xent`]). The small network is then discarded. No label and no word takes part.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use regulus_clip::{Backbone, Injection, Normalisation, ParameterError, RunningStatistics, normalise};
use regulus_images::random::Stream;
use regulus_losses::nt_xent;
use serde::{Deserialize, Serialize};

use crate::batches::Batch;
use crate::method::{Method, Objective};
use crate::parameters::Parameters;

/// What the names of the projection's parameters begin with: two linear maps, 0 and 2, around a ReLU.
const PROJECTION: &str = "projection.";

/// What lies between the encoder and the loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimClrSpec {
    /// Width of the projection's hidden layer.
    pub hidden: usize,
    /// Width of the projected features, which the loss compares.
    pub projected: usize,
    /// Temperature of the loss.
    pub temperature: f64,
}

/// Widest layer of a projection.
const MOST_WIDTH: usize = 1 << 16;

impl SimClrSpec {
    /// Everything that is out of range: the key, and what is wrong.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let width = |value: usize| (1..=MOST_WIDTH).contains(&value);
        let temperature = self.temperature.is_finite() && self.temperature > 0.0;
        let checks = [
            ("hidden", width(self.hidden), format!("is {}; expected 1 to {MOST_WIDTH}", self.hidden)),
            (
                "projected",
                width(self.projected),
                format!("is {}; expected 1 to {MOST_WIDTH}", self.projected),
            ),
            ("temperature", temperature, format!("is {}; expected a positive number", self.temperature)),
        ];
        checks.into_iter().filter(|(_, holds, _)| !holds).map(|(key, _, message)| (key, message)).collect()
    }
}

/// SimCLR on the batches of [`TwoViews`](crate::views::TwoViews).
///
/// The running statistics of a residual network stay as they are.
#[derive(Debug, Clone)]
pub struct SimClr {
    backbone: Backbone,
    spec: SimClrSpec,
    seed: u64,
    device: Device,
}

impl SimClr {
    /// Trains `backbone`, which is on `device`, from its present parameters, and a projection that `seed` draws.
    pub fn new(backbone: Backbone, spec: SimClrSpec, seed: u64, device: Device) -> Self {
        Self { backbone, spec, seed, device }
    }

    /// The trained encoder, without the projection.
    ///
    /// # Errors
    /// [`ParameterError`] for parameters of another encoder.
    pub fn finished(&self, parameters: &Parameters) -> Result<Backbone, ParameterError> {
        let own = parameters.iter().filter(|(name, _)| !name.starts_with(PROJECTION));
        let values = own.map(|(name, leaf)| (name.clone(), leaf.value.clone())).collect();
        self.backbone.with_parameters(&values, &self.device)
    }

    /// One feature per image, `[batch, width]`, of normalised pixels `[batch, 3, height, width]`.
    fn features(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        let own = parameters.iter().filter(|(name, _)| !name.starts_with(PROJECTION));
        let injection = own.fold(Injection::none(), |injection, (name, leaf)| {
            injection.replace(name.clone(), leaf.value.clone())
        });
        self.backbone.features(pixels, &injection, Normalisation::Running)
    }

    /// The projection's linear maps: name, inputs, outputs.
    fn layers(&self) -> [(&'static str, usize, usize); 2] {
        let SimClrSpec { hidden, projected, .. } = self.spec;
        [("0", self.backbone.width(), hidden), ("2", hidden, projected)]
    }

    /// Projected features of unit length, `[batch, projected]`.
    fn project(&self, parameters: &Parameters, features: Tensor<2>) -> Tensor<2> {
        let [first, second] = self.layers().map(|(layer, _, _)| {
            let of = |part: &str| &parameters[format!("{PROJECTION}{layer}.{part}").as_str()];
            let (weight, bias) = (of("weight").tensor::<2>(), of("bias").tensor::<1>());
            move |x: Tensor<2>| x.matmul(weight.clone().transpose()) + bias.clone().unsqueeze::<2>()
        });
        normalise(second(relu(first(features))))
    }
}

impl Method for SimClr {
    fn parameters(&self) -> Parameters {
        let mut parameters = Parameters::default();
        let trained = |path: &str| !RunningStatistics::holds(path) && !path.starts_with("fc.");
        for parameter in self.backbone.parameters().into_iter().filter(|parameter| trained(&parameter.path)) {
            parameters.insert(parameter.path, parameter.value, parameter.shape);
        }
        for (layer, inputs, outputs) in self.layers() {
            // PyTorch's default of linear maps: uniform within 1 / sqrt(inputs), weights and biases alike.
            let bound = 1.0 / (inputs.max(1) as f64).sqrt();
            for (part, shape) in [("weight", vec![outputs, inputs]), ("bias", vec![outputs])] {
                let name = format!("{PROJECTION}{layer}.{part}");
                let mut stream = Stream::new(self.seed, &format!("init/{name}"), 0, 0);
                let count: usize = shape.iter().product();
                let values = (0..count).map(|_| stream.range(-bound, bound) as f32).collect();
                parameters.insert_values(name, values, shape, &self.device);
            }
        }
        parameters
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        let features = self.features(parameters, batch.pixels.clone());
        let views = self.project(parameters, features);
        Objective { loss: nt_xent(views, self.spec.temperature).mean(), terms: Vec::new() }
    }

    fn is_head(&self, name: &str) -> bool {
        name.starts_with(PROJECTION)
    }

    /// The encoder's features: there are no classes.
    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.features(parameters, pixels)
    }
}
