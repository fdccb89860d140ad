//! A trained model as a plain one: weights that any program for CLIP loads, and a classifier of one matrix.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use regulus_clip::normalise;

/// What a trained model is without the method that trained it.
#[derive(Debug, Clone)]
pub struct Merged {
    /// Weights that differ from those of the base model, flat, by canonical path: of the CLIP, or of the image encoder
    /// that takes the place of its image tower.
    pub weights: BTreeMap<String, Tensor<1>>,
    /// The classifier of the model's image features.
    pub classifier: PlainClassifier,
}

/// A classifier that is one matrix.
#[derive(Debug, Clone)]
pub enum PlainClassifier {
    /// Unit features of the classes' texts, `[classes, embed]`. Logits are their cosine similarities to the image
    /// features, times the model's logit scale.
    Texts(Tensor<2>),
    /// A linear layer.
    Linear {
        /// `[classes, width]`.
        weight: Tensor<2>,
        /// `[classes]`.
        bias: Tensor<1>,
        /// Whether it reads image features of unit length, or as they are.
        unit_features: bool,
    },
}

impl PlainClassifier {
    /// Logits `[batch, classes]` of raw image features `[batch, width]`; `logit_scale` is the natural logarithm of the
    /// model's scale.
    pub fn logits(&self, features: Tensor<2>, logit_scale: f64) -> Tensor<2> {
        match self {
            Self::Texts(texts) => normalise(features).matmul(texts.clone().transpose()) * logit_scale.exp(),
            Self::Linear { weight, bias, unit_features } => {
                let features = if *unit_features { normalise(features) } else { features };
                features.matmul(weight.clone().transpose()) + bias.clone().unsqueeze::<2>()
            }
        }
    }
}

/// A trained model that has no plain form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotMergeable {
    /// Why not.
    pub reason: String,
}

impl NotMergeable {
    /// For this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}
