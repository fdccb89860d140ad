//! The classifier on top of a fine-tuned image tower: CLIP's own text features, or fresh layers.

use burn::tensor::Tensor;
use regulus_clip::{Clip, Injection, normalise};
use regulus_images::random::Stream;

use super::promptless::{self, PromptlessHead};
use crate::merge::{NotMergeable, PlainClassifier};
use crate::parameters::Parameters;

/// Name of the prompt-initialised classifier `[classes, embed]`, as in the official ProReg code.
pub const TEXT_FEATURES: &str = "text_features";
/// Name of the log of the logit scale, `[1]`.
pub const LOGIT_SCALE: &str = "logit_scale";
/// Name of the fresh layer's weight `[classes, embed]`.
pub const HEAD_WEIGHT: &str = "head.weight";
/// Name of the fresh layer's bias `[classes]`.
pub const HEAD_BIAS: &str = "head.bias";

/// What the classifier starts from.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one for each run")]
pub enum HeadStart {
    /// Text features of the class prompts, raw `[classes, embed]`; normalised at every forward pass, like
    /// the image features, and multiplied by the logit scale (ProReg, `objectives.py`).
    Prompt(Tensor<2>),
    /// A linear layer on the raw image features: weights from N(0, 0.01), biases 0.
    Fresh {
        /// Number of classes.
        classes: usize,
        /// Seed of the initialisation.
        seed: u64,
    },
    /// Linear, LayerNorm, GELU, Linear on the raw image features (ProReg, `promptless_finetune`): weights from
    /// N(0, 0.02), biases 0.
    Promptless {
        /// Number of classes.
        classes: usize,
        /// Seed of the initialisation.
        seed: u64,
    },
}

/// A classifier head and which of its parts are trained.
#[derive(Debug, Clone)]
pub struct Head {
    start: HeadStart,
    trained: bool,
    scale_trained: bool,
    frozen_scale: Tensor<1>,
}

impl Head {
    /// A head for `clip`. `trained` and `scale_trained` only concern a prompt-initialised head: fresh layers are
    /// always trained and have no scale.
    pub fn new(clip: &Clip, start: HeadStart, trained: bool, scale_trained: bool) -> Self {
        Self { start, trained, scale_trained, frozen_scale: clip.logit_scale(&Injection::none()) }
    }

    /// Whether a parameter of this name belongs to a head.
    pub fn owns(name: &str) -> bool {
        [TEXT_FEATURES, LOGIT_SCALE].contains(&name) || Self::is_fresh(name)
    }

    /// Whether a parameter of this name belongs to a head without a pre-trained start.
    pub fn is_fresh(name: &str) -> bool {
        [HEAD_WEIGHT, HEAD_BIAS].contains(&name) || name.starts_with(promptless::PREFIX)
    }

    /// Adds the trained parts with their initial values.
    pub fn add_to(&self, parameters: &mut Parameters, embed: usize) {
        match &self.start {
            HeadStart::Prompt(features) => {
                let [classes, embed] = features.dims();
                if self.trained {
                    let flat = features.clone().reshape([classes * embed]);
                    parameters.insert(TEXT_FEATURES, flat, vec![classes, embed]);
                }
                if self.scale_trained {
                    parameters.insert(LOGIT_SCALE, self.frozen_scale.clone(), vec![1]);
                }
            }
            HeadStart::Fresh { classes, seed } => {
                let device = self.frozen_scale.device();
                let mut stream = Stream::new(*seed, "init/head", 0, 0);
                let weights = (0..classes * embed).map(|_| (0.01 * stream.normal()) as f32).collect();
                parameters.insert_values(HEAD_WEIGHT, weights, vec![*classes, embed], &device);
                parameters.insert_values(HEAD_BIAS, vec![0.0; *classes], vec![*classes], &device);
            }
            HeadStart::Promptless { classes, seed } => {
                PromptlessHead::new(embed, *classes).add_to(parameters, *seed, &self.frozen_scale.device());
            }
        }
    }

    /// The head as a plain classifier of image features, raw where it is linear.
    ///
    /// # Errors
    /// [`NotMergeable`] for the promptless head, which is a network.
    pub fn merged(&self, parameters: &Parameters) -> Result<PlainClassifier, NotMergeable> {
        match &self.start {
            HeadStart::Prompt(start) => {
                let trained = parameters.get(TEXT_FEATURES).map(|leaf| leaf.value.clone());
                let texts = trained.map_or_else(|| start.clone(), |flat| flat.reshape(start.dims()));
                Ok(PlainClassifier::Texts(normalise(texts)))
            }
            HeadStart::Fresh { .. } => Ok(PlainClassifier::Linear {
                weight: parameters[HEAD_WEIGHT].tensor(),
                bias: parameters[HEAD_BIAS].tensor(),
                unit_features: false,
            }),
            HeadStart::Promptless { .. } => Err(NotMergeable::new(
                "its promptless head is a network of several layers, and a plain model has one linear classifier",
            )),
        }
    }

    /// Logits `[batch, classes]` of raw image features `[batch, embed]`.
    pub fn logits(&self, parameters: &Parameters, features: Tensor<2>) -> Tensor<2> {
        let [_, embed] = features.dims();
        match &self.start {
            HeadStart::Prompt(start) => {
                let trained = |name: &str| parameters.get(name).map(|leaf| leaf.value.clone());
                let text = trained(TEXT_FEATURES).map(|flat| flat.reshape(start.dims()));
                let text = text.unwrap_or_else(|| start.clone());
                let scale = trained(LOGIT_SCALE).unwrap_or_else(|| self.frozen_scale.clone()).exp();
                normalise(features).matmul(normalise(text).transpose()) * scale.unsqueeze::<2>()
            }
            HeadStart::Fresh { classes, .. } => {
                let weight = parameters[HEAD_WEIGHT].value.clone().reshape([*classes, embed]);
                features.matmul(weight.transpose()) + parameters[HEAD_BIAS].value.clone().unsqueeze::<2>()
            }
            HeadStart::Promptless { classes, .. } => {
                PromptlessHead::new(embed, *classes).logits(parameters, features)
            }
        }
    }
}
