//! A trained model as a plain one: weights that any program for CLIP loads, and a classifier of one matrix.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

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
#[allow(clippy::large_enum_variant, reason = "there is one for each export")]
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
