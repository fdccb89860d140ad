//! What TeS adds to the fine-tuning of an image encoder: a projection of its features into the space of texts, and the
//! texts of the classes, which soften the labels.
//!
//! Wang et al., "Improved Visual Fine-tuning with Natural Language Supervision", ICCV 2023; `model.py` and
//! `TeS_loss.py`. The loss is [`regulus_losses::tes`].

use std::collections::BTreeMap;

use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};
use regulus_clip::{BatchNormParameters, Normalisation, normalise};
use regulus_losses::{TesSettings, tes};

use crate::method::Objective;
use crate::methods::linear_layer::LinearLayer;
use crate::parameters::Parameters;

/// What the names of the projection begin with: two linear maps, 0 and 3, and the normalisation 1 between them.
const PROJECTION: &str = "projection_head";

/// Shortest length that a projected feature is divided by (`F.normalize`).
const SHORTEST: f64 = 1e-12;

/// The projection head and the texts of the classes.
#[derive(Debug, Clone)]
pub(super) struct TextGuidance {
    first: LinearLayer,
    second: LinearLayer,
    /// Unit features of the classes' texts, `[classes, text_width]`.
    texts: Tensor<2>,
    settings: TesSettings,
}

impl TextGuidance {
    /// Guides image features of `width` by the features of the classes' texts, `[classes, text_width]` of any length.
    pub(super) fn new(width: usize, texts: Tensor<2>, settings: TesSettings) -> Self {
        let [_, text_width] = texts.dims();
        let layer = |place: &str, outputs| LinearLayer { name: own(place), inputs: width, outputs };
        let (first, second) = (layer("0", width), layer("3", text_width));
        Self { first, second, texts: normalise(texts), settings }
    }

    /// Whether a parameter of this name belongs to the projection.
    pub(super) fn owns(path: &str) -> bool {
        path.starts_with(PROJECTION)
    }

    /// Paths and lengths of the running statistics.
    pub(super) fn statistics(&self) -> [(String, usize); 2] {
        ["1.running_mean", "1.running_var"].map(|path| (own(path), self.first.outputs))
    }

    /// Adds what is trained, as PyTorch starts it.
    pub(super) fn add_to(&self, parameters: &mut Parameters, seed: u64, device: &Device) {
        self.first.add_to(parameters, seed, device);
        self.second.add_to(parameters, seed, device);
        let width = self.first.outputs;
        for (path, value) in [("1.weight", 1.0), ("1.bias", 0.0)] {
            parameters.insert(own(path), Tensor::full([width], value, device), vec![width]);
        }
    }

    /// Projected features of unit length, `[batch, text_width]`, of image features `[batch, width]`: Linear,
    /// BatchNorm, ReLU, Linear. `running` are the running statistics so far; those that are missing are as they
    /// start, mean 0 and variance 1.
    pub(super) fn project(
        &self,
        parameters: &Parameters,
        features: Tensor<2>,
        running: &BTreeMap<String, Tensor<1>>,
        normalisation: &mut Normalisation<'_>,
    ) -> Tensor<2> {
        let trained = |path: &str| parameters[own(path).as_str()].value.clone();
        let statistic = |path: &str, start: f64| {
            let width = [self.first.outputs];
            let known = running.get(&own(path)).cloned();
            known.unwrap_or_else(|| Tensor::full(width, start, &self.texts.device()))
        };
        let norm = BatchNormParameters {
            weight: trained("1.weight"),
            bias: trained("1.bias"),
            running_mean: statistic("1.running_mean", 0.0),
            running_var: statistic("1.running_var", 1.0),
        };
        let hidden = norm.rows(self.first.forward(parameters, features), &own("1"), normalisation);
        let projected = self.second.forward(parameters, relu(hidden));
        let length = projected.clone().powi_scalar(2).sum_dim(1).clamp_min(SHORTEST * SHORTEST).sqrt();
        projected / length
    }

    /// TeS's objective of class logits `[batch, classes]` and projected features `[batch, text_width]`.
    pub(super) fn objective(
        &self,
        logits: Tensor<2>,
        projected: Tensor<2>,
        labels: Tensor<1, Int>,
    ) -> Objective {
        let parts = tes(logits, projected, self.texts.clone(), labels, self.settings);
        let terms = vec![("vision", parts.vision.mean()), ("text", parts.text.mean())];
        Objective { loss: parts.loss, terms }
    }
}

fn own(path: &str) -> String {
    format!("{PROJECTION}.{path}")
}
