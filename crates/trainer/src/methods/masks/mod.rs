//! R-MT: binary masks on frozen weights of the image tower, regularised by gradient dropout.
//!
//! Zheng et al., "Regularized Mask Tuning: Uncovering Hidden Knowledge in Pre-trained Vision-Language Models", ICCV
//! 2023; `trainers/masktuning.py`. The equations are in [`regulus_losses`]; here is which weights they are applied to,
//! and how the two gradients of a step combine.

mod draws;
mod groups;
mod importance;
mod set;
mod targets;

pub use draws::{DropoutDraws, SeededDraws};
pub use groups::weight_group;
pub use importance::{
    GroupImportance, Importance, Measure, TensorImportance, importance_by_change, importance_by_gradient,
};
pub use set::Masks;
pub use targets::{MaskError, MaskPart, MaskTargets, MaskedWeight};

use std::sync::Arc;

use burn::tensor::Tensor;
use regulus_clip::{Clip, Injection, ParameterError};
use regulus_kernels::computing_once;
use regulus_losses::{FusedTarget, cross_entropy, fused_distillation};

use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable, PlainClassifier};
use crate::method::{Method, Objective, StepOutcome};
use crate::methods::part::Part;
use crate::parameters::{LeafGradients, Parameters};
use crate::stages::{self, Stage};
use crate::zero_shot::ZeroShot;

/// R-MT's numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskSettings {
    /// What every mask starts from (published: 1e-2).
    pub start: f64,
    /// A weight is kept where its mask is above this (published: 5e-3).
    pub threshold: f64,
    /// Factor on the sum of the masks' L2 norms (published: 1e-4).
    pub norm_weight: f64,
    /// The dropout of gradients; `None` is mask tuning without it (AMT, MMT, PMT).
    pub dropout: Option<GradientDropout>,
}

impl Default for MaskSettings {
    /// The published numbers, with gradient dropout.
    fn default() -> Self {
        Self { start: 1e-2, threshold: 5e-3, norm_weight: 1e-4, dropout: Some(GradientDropout::default()) }
    }
}

/// How gradients are dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientDropout {
    /// By how much a dropped entry shrinks, in [0, 1] (published: 0.3 or 1).
    pub lambda: f64,
    /// Softening of both distributions (published: 1).
    pub temperature: f64,
    /// Share of the frozen model in the target, in [0, 1] (published: 1, where the student has none).
    pub fuse: f64,
    /// Whether the student's share of the target has a gradient.
    pub target: FusedTarget,
}

impl Default for GradientDropout {
    /// The released code's defaults.
    fn default() -> Self {
        Self { lambda: 1.0, temperature: 1.0, fuse: 1.0, target: FusedTarget::WithGradient }
    }
}

/// Mask tuning. The trained parameters are the real-valued masks, under the paths of their weights.
#[derive(Debug, Clone)]
pub struct MaskTuning {
    model: ZeroShot,
    masks: Masks,
    draws: Arc<dyn DropoutDraws>,
    /// The frozen model's logits of every training image, when images are not augmented.
    frozen_logits: Option<Tensor<2>>,
}

impl MaskTuning {
    /// Masks on weights of `model`'s image tower under its text classifier. `draws` are for gradient dropout only.
    ///
    /// # Errors
    /// [`MaskError`] if the model has no weights of that kind.
    pub fn new(
        model: ZeroShot,
        targets: MaskTargets,
        settings: MaskSettings,
        draws: Arc<dyn DropoutDraws>,
    ) -> Result<Self, MaskError> {
        let masks = Masks::new(model.clip(), targets, settings)?;
        Ok(Self { model, masks, draws, frozen_logits: None })
    }

    /// The masks.
    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// The model with the weights that are off set to 0: a plain checkpoint that needs no masks.
    ///
    /// # Errors
    /// [`ParameterError`] if `parameters` are not masks of this model.
    pub fn merged(&self, parameters: &Parameters) -> Result<Clip, ParameterError> {
        self.model.clip().with_parameters(&self.masks.applied(parameters))
    }

    fn frozen_logits(&self, batch: &Batch) -> Tensor<2> {
        match &self.frozen_logits {
            Some(logits) => batch.rows_of(logits),
            None => stages::within(Stage::Teacher, || self.model.classify(batch.pixels.clone())),
        }
    }

    /// The objective of the masked model's logits.
    fn task(&self, parameters: &Parameters, student: Tensor<2>, batch: &Batch) -> Objective {
        let entropy = cross_entropy(student, batch.labels.clone()).mean();
        match self.masks.penalty(parameters) {
            Some(norm) => Objective {
                loss: entropy.clone() + norm.clone(),
                terms: vec![("cross_entropy", entropy), ("mask_norm", norm)],
            },
            None => Objective { loss: entropy, terms: Vec::new() },
        }
    }

    /// The gradient of the agreement of the masked model's logits with the frozen model, and its value.
    fn general(
        &self,
        tracked: &Parameters,
        student: Tensor<2>,
        batch: &Batch,
        dropout: &GradientDropout,
    ) -> (LeafGradients, f64) {
        let GradientDropout { temperature, fuse, target, .. } = *dropout;
        let loss = fused_distillation(student, self.frozen_logits(batch), fuse, temperature, target).mean();
        (tracked.gradients_of(&loss), loss.into_scalar())
    }
}

impl Method for MaskTuning {
    fn parameters(&self) -> Parameters {
        self.masks.parameters()
    }

    fn prepare(&mut self, images: &ImageSet<'_>) {
        if self.masks.settings().dropout.is_some() {
            self.frozen_logits = Some(self.model.classify_all(images));
        }
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        self.task(parameters, self.logits(parameters, batch.pixels.clone()), batch)
    }

    /// One forward pass, differentiated for both objectives, whose gradients are needed apart.
    fn step(&self, parameters: &Parameters, batch: &Batch) -> StepOutcome {
        let Some(dropout) = &self.masks.settings().dropout else {
            let tracked = parameters.tracked();
            return StepOutcome::of(self.objective(&tracked, batch), &tracked);
        };
        let student = || {
            let tracked = parameters.tracked();
            let logits = self.logits(&tracked, batch.pixels.clone());
            (tracked, logits)
        };
        let ((of_task, task), (of_general, general)) = computing_once(student, student);
        let mut outcome = StepOutcome::of(self.task(&of_task, task, batch), &of_task);
        let (general, agreement) = self.general(&of_general, general, batch, dropout);
        let draws = self.draws.draw(batch.epoch, batch.step, self.masks.weights());
        let kept = self.masks.drop_entries(&mut outcome.gradients, &general, draws, dropout.lambda);
        outcome.terms.extend([("distillation", agreement), ("kept", kept)]);
        outcome
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.model.classify_with(pixels, &self.masks.inject(parameters, Injection::none()))
    }

    /// The masks are applied once for all batches.
    fn predictor<'a>(&'a self, parameters: &'a Parameters) -> Box<dyn Fn(Tensor<4>) -> Tensor<2> + 'a> {
        let applied = self.masks.applied(parameters).into_iter();
        let injection =
            applied.fold(Injection::none(), |injection, (path, weight)| injection.replace(path, weight));
        Box::new(move |pixels| self.model.classify_with(pixels, &injection))
    }

    fn threshold(&self, name: &str) -> Option<f64> {
        self.masks
            .weights()
            .iter()
            .any(|weight| weight.path == name)
            .then_some(self.masks.settings().threshold)
    }

    fn merged(&self, parameters: &Parameters) -> Result<Merged, NotMergeable> {
        let classifier = PlainClassifier::Texts(self.model.text_features());
        Ok(Merged { weights: self.masks.applied(parameters), classifier })
    }

    fn facts(&self, parameters: &Parameters) -> Vec<(&'static str, f64)> {
        self.masks.facts(parameters)
    }
}
