//! R-MT on an image encoder that layers of its own classify: the encoder's weights stay as they are, and masks of them
//! are trained in their place.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use regulus_clip::Injection;
use regulus_losses::fused_distillation;

use super::ImageEncoder;
use crate::batches::{Batch, ImageSet};
use crate::method::{Objective, StepOutcome};
use crate::methods::masks::{DropoutDraws, GradientDropout, MaskError, MaskSettings, MaskTargets, Masks};
use crate::methods::part::Part;
use crate::parameters::{LeafGradients, Parameters};
use crate::stages::{self, Stage};
use crate::zero_shot::ZeroShot;

/// Which weights of an encoder have a mask, and how the masks are trained.
#[derive(Debug, Clone)]
pub struct EncoderMasks {
    /// The weights. Those that the features do not depend on, as the projection behind CLIP's attention pool, have none.
    pub targets: MaskTargets,
    /// R-MT's numbers.
    pub settings: MaskSettings,
    /// Random numbers of gradient dropout.
    pub draws: Arc<dyn DropoutDraws>,
    /// The frozen model whose image tower is the encoder, with a text classifier of the classes: what gradient dropout
    /// asks for the zero-shot prediction. An encoder without texts has none.
    pub zero_shot: Option<ZeroShot>,
}

/// Masks of an encoder in training.
#[derive(Debug, Clone)]
pub(super) struct MaskedEncoder {
    masks: Masks,
    dropping: Option<Dropping>,
}

/// Gradient dropout of the masks.
#[derive(Debug, Clone)]
pub(super) struct Dropping {
    how: GradientDropout,
    draws: Arc<dyn DropoutDraws>,
    zero_shot: ZeroShot,
    /// The frozen model's logits of every training image, when images are not augmented.
    frozen_logits: Option<Tensor<2>>,
}

/// The masked encoder under the text classifier.
#[derive(Debug)]
pub(super) struct Student {
    /// The masks that its graph begins with.
    masks: Parameters,
    /// `[batch, classes]`
    logits: Tensor<2>,
}

impl MaskedEncoder {
    pub(super) fn new(encoder: &ImageEncoder, masks: EncoderMasks) -> Result<Self, MaskError> {
        let EncoderMasks { targets, settings, draws, zero_shot } = masks;
        let trainable = encoder.trainable();
        let tower = trainable.iter().map(|weight| weight.shape.iter().product::<usize>()).sum();
        let weights = targets.among(trainable, encoder.is_transformer())?;
        let dropping = match (&settings.dropout, zero_shot, encoder) {
            (None, _, _) => None,
            (Some(how), Some(zero_shot), ImageEncoder::Clip(_)) => {
                Some(Dropping { how: how.clone(), draws, zero_shot, frozen_logits: None })
            }
            (Some(_), _, _) => return Err(MaskError::NoZeroShot),
        };
        Ok(Self { masks: Masks::of(weights, settings, tower), dropping })
    }

    /// The masks with their initial values.
    pub(super) fn parameters(&self) -> Parameters {
        self.masks.parameters()
    }

    /// The encoder's weights where their masks are on.
    pub(super) fn injection(&self, parameters: &Parameters) -> Injection {
        self.masks.inject(parameters, Injection::none())
    }

    /// The threshold of the mask of this name, if there is one.
    pub(super) fn threshold(&self, name: &str) -> Option<f64> {
        self.masks.threshold(name)
    }

    /// The masked weights by path, 0 where they are off.
    pub(super) fn applied(&self, parameters: &Parameters) -> BTreeMap<String, Tensor<1>> {
        self.masks.applied(parameters)
    }

    /// Computes what is frozen once per image.
    pub(super) fn prepare(&mut self, images: &ImageSet<'_>) {
        if let Some(dropping) = &mut self.dropping {
            dropping.frozen_logits = Some(dropping.zero_shot.classify_all(images));
        }
    }

    /// `objective` with the masks' norms.
    pub(super) fn held_back(&self, parameters: &Parameters, objective: Objective) -> Objective {
        let Some(norm) = self.masks.penalty(parameters) else { return objective };
        let Objective { loss, mut terms } = objective;
        terms.push(("mask_norm", norm.clone()));
        Objective { loss: loss + norm, terms }
    }

    /// Gradient dropout, where there is one.
    pub(super) fn dropping(&self) -> Option<(&Self, &Dropping)> {
        Some((self, self.dropping.as_ref()?))
    }

    /// What the text classifier makes of masked features, on a graph of its own.
    pub(super) fn student(&self, dropping: &Dropping, parameters: &Parameters, batch: &Batch) -> Student {
        let masks: Parameters = parameters.filtered(|name| self.masks.holds(name)).tracked();
        let logits = dropping.zero_shot.classify_with(batch.pixels.clone(), &self.injection(&masks));
        Student { masks, logits }
    }

    /// Drops entries of the masks' gradients in place; the heads' are left as they are.
    pub(super) fn drop_entries(
        &self,
        dropping: &Dropping,
        student: Student,
        batch: &Batch,
        outcome: &mut StepOutcome,
    ) {
        let (general, agreement) = Self::general(dropping, student, batch);
        let draws = dropping.draws.draw(batch.epoch, batch.step, self.masks.weights());
        let kept = self.masks.drop_entries(&mut outcome.gradients, &general, draws, dropping.how.lambda);
        outcome.terms.extend([("distillation", agreement), ("kept", kept)]);
    }

    /// The gradient of the agreement of the text classifier on masked features with the zero-shot prediction, and its
    /// value. The projection behind the features is the frozen one.
    fn general(dropping: &Dropping, student: Student, batch: &Batch) -> (LeafGradients, f64) {
        let Dropping { how, zero_shot, frozen_logits, .. } = dropping;
        let Student { masks, logits } = student;
        let frozen = match frozen_logits {
            Some(logits) => batch.rows_of(logits),
            None => stages::within(Stage::Teacher, || zero_shot.classify(batch.pixels.clone())),
        };
        let loss = fused_distillation(logits, frozen, how.fuse, how.temperature, how.target).mean();
        (masks.gradients_of(&loss), loss.into_scalar())
    }

    /// Counts of weights, and the shares that are off in percent.
    pub(super) fn facts(&self, parameters: &Parameters) -> Vec<(&'static str, f64)> {
        self.masks.facts(parameters)
    }
}
