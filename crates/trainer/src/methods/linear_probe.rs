//! The linear probe: a linear classifier on frozen image features.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use regulus_clip::{Clip, Injection, normalise};

use super::head::{HEAD_BIAS, HEAD_WEIGHT, Head, HeadStart};
use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable, PlainClassifier};
use crate::method::{Method, Objective};
use crate::parameters::Parameters;
use crate::zero_shot::FROZEN_CHUNK;

/// Logistic regression on unit image features, `x W^T + b`, trained step by step. For the exact optimum
/// see [`fit_logistic_regression`](super::fit_logistic_regression).
#[derive(Debug, Clone)]
pub struct LinearProbe {
    clip: Clip,
    head: Head,
    start: Parameters,
    /// Unit features of every training image, when images are not augmented.
    features: Option<Tensor<2>>,
}

impl LinearProbe {
    /// A probe of `classes` classes with random initial weights.
    pub fn new(clip: Clip, classes: usize, seed: u64) -> Self {
        let head = Head::new(&clip, HeadStart::Fresh { classes, seed }, true, false);
        let mut start = Parameters::default();
        head.add_to(&mut start, clip.embed_dim());
        Self { clip, head, start, features: None }
    }

    /// The same probe with given weights `[classes, embed]` (row by row) and biases `[classes]`.
    pub fn with_weights(mut self, weight: Vec<f32>, bias: Vec<f32>) -> Self {
        let device = self.clip.device();
        let classes = bias.len();
        let embed = self.clip.embed_dim();
        self.start.insert_values(HEAD_WEIGHT, weight, vec![classes, embed], &device);
        self.start.insert_values(HEAD_BIAS, bias, vec![classes], &device);
        self
    }

    /// Unit image features `[batch, embed]` of normalised pixels.
    pub fn features(&self, pixels: Tensor<4>) -> Tensor<2> {
        normalise(self.clip.encode_image(pixels, &Injection::none()))
    }

    /// Logits `[batch, classes]` of unit image features `[batch, embed]`.
    pub fn classified(&self, parameters: &Parameters, features: Tensor<2>) -> Tensor<2> {
        self.head.logits(parameters, features)
    }

    /// Unit features of every image of a set, `[images, embed]`.
    pub fn features_of(&self, images: &ImageSet<'_>) -> Tensor<2> {
        Tensor::cat(images.chunks(FROZEN_CHUNK).map(|pixels| self.features(pixels)).collect(), 0)
    }
}

impl Method for LinearProbe {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn prepare(&mut self, images: &ImageSet<'_>) {
        self.features = Some(self.features_of(images));
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        let features = match &self.features {
            Some(features) => batch.rows_of(features),
            None => self.features(batch.pixels.clone()),
        };
        let logits = self.classified(parameters, features);
        Objective {
            loss: regulus_losses::cross_entropy(logits, batch.labels.clone()).mean(),
            terms: Vec::new(),
        }
    }

    fn is_head(&self, _: &str) -> bool {
        true
    }

    fn merged(&self, parameters: &Parameters) -> Result<Merged, NotMergeable> {
        let (weight, bias) = (parameters[HEAD_WEIGHT].tensor(), parameters[HEAD_BIAS].tensor());
        let classifier = PlainClassifier::Linear { weight, bias, unit_features: true };
        Ok(Merged { weights: BTreeMap::new(), classifier })
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.classified(parameters, self.features(pixels))
    }
}
