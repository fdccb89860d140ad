//! R-MT: binary masks on frozen weights of the image tower, regularised by gradient dropout.
//!
//! Zheng et al., "Regularized Mask Tuning: Uncovering Hidden Knowledge in Pre-trained Vision-Language Models", ICCV
//! 2023; `trainers/masktuning.py`. The equations are in [`regulus_losses`]; here is which weights they are applied to,
//! and how the two gradients of a step combine.

mod draws;
mod groups;
mod importance;
mod targets;

pub use draws::{DropoutDraws, SeededDraws};
pub use groups::weight_group;
pub use importance::{
    GroupImportance, Importance, Measure, TensorImportance, importance_by_change, importance_by_gradient,
};
pub use targets::{MaskError, MaskPart, MaskTargets, MaskedWeight};

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use regulus_clip::{Clip, Injection, NamedParameter, ParameterError, Part, RunningStatistics, WeightChange};
use regulus_losses::{
    FusedTarget, Sparsity, cross_entropy, drop_gradient, fused_distillation, keep_probability,
    mask_regulariser, masked_weight,
};

use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable, PlainClassifier};
use crate::method::{Method, Objective, StepOutcome};
use crate::parameters::{LeafGradients, Parameters};
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
    masked: Vec<MaskedWeight>,
    settings: MaskSettings,
    draws: Arc<dyn DropoutDraws>,
    /// The frozen model's logits of every training image, when images are not augmented.
    frozen_logits: Option<Tensor<2>>,
}

/// Puts a masked weight in the place of a weight.
struct Masked {
    mask: Tensor<1>,
    threshold: f64,
}

impl WeightChange for Masked {
    fn apply(&self, base: Tensor<1>, _shape: &[usize]) -> Tensor<1> {
        masked_weight(base, self.mask.clone(), self.threshold)
    }
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
        let masked = targets.of(model.clip())?;
        Ok(Self { model, masked, settings, draws, frozen_logits: None })
    }

    /// The weights that have a mask, in the order in which random numbers are drawn for them.
    pub fn masked(&self) -> &[MaskedWeight] {
        &self.masked
    }

    /// How many of the masked entries are off.
    pub fn sparsity(&self, parameters: &Parameters) -> Sparsity {
        let masks = self.masked.iter().map(|weight| parameters[&weight.path].value.clone());
        masks.map(|mask| Sparsity::of(mask, self.settings.threshold)).fold(Sparsity::default(), |a, b| a + b)
    }

    /// Number of trained parameters of the whole image tower, for [`Sparsity::share_of`].
    pub fn tower_parameters(&self) -> usize {
        weights_of_tower(self.model.clip()).map(|weight| weight.shape.iter().product::<usize>()).sum()
    }

    /// The model with the weights that are off set to 0: a plain checkpoint that needs no masks.
    ///
    /// # Errors
    /// [`ParameterError`] if `parameters` are not masks of this model.
    pub fn merged(&self, parameters: &Parameters) -> Result<Clip, ParameterError> {
        self.model.clip().with_parameters(&self.masked_weights(parameters))
    }

    /// The masked weights by path, 0 where they are off.
    fn masked_weights(&self, parameters: &Parameters) -> BTreeMap<String, Tensor<1>> {
        let merge = |weight: &MaskedWeight| {
            let mask = parameters.get(&weight.path)?.value.clone();
            Some((weight.path.clone(), masked_weight(weight.value.clone(), mask, self.settings.threshold)))
        };
        self.masked.iter().filter_map(merge).collect()
    }

    fn injection(&self, parameters: &Parameters) -> Injection {
        self.masked.iter().fold(Injection::none(), |injection, weight| {
            let mask = parameters[&weight.path].value.clone();
            let threshold = self.settings.threshold;
            injection.change(weight.path.clone(), Arc::new(Masked { mask, threshold }))
        })
    }

    fn frozen_logits(&self, batch: &Batch) -> Tensor<2> {
        match &self.frozen_logits {
            Some(logits) => batch.rows_of(logits),
            None => self.model.classify(batch.pixels.clone()),
        }
    }

    /// The gradient of the agreement with the frozen model, and its value.
    fn general(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        dropout: &GradientDropout,
    ) -> (LeafGradients, f64) {
        let tracked = parameters.tracked();
        let student = self.logits(&tracked, batch.pixels.clone());
        let GradientDropout { temperature, fuse, target, .. } = *dropout;
        let loss = fused_distillation(student, self.frozen_logits(batch), fuse, temperature, target).mean();
        let mut gradients = loss.backward();
        (tracked.gradients(&mut gradients), loss.into_scalar())
    }

    /// Drops entries of the task's gradient in place and returns the share of entries that are kept.
    fn drop_entries(
        &self,
        task: &mut LeafGradients,
        general: &LeafGradients,
        batch: &Batch,
        lambda: f64,
    ) -> f64 {
        let draws = self.draws.draw(batch.epoch, batch.step, &self.masked);
        let (mut kept, mut all) = (0i64, 0usize);
        for (weight, uniform) in self.masked.iter().zip(draws) {
            let Some(gradient) = task.get_mut(&weight.path) else { continue };
            let opposed = general.get(&weight.path).cloned().unwrap_or_else(|| gradient.zeros_like());
            let count = uniform.len();
            let uniform = Tensor::from_data(TensorData::new(uniform, [count]), &gradient.device());
            let keep = keep_probability(gradient.clone(), opposed);
            kept += keep.clone().greater(uniform.clone()).int().sum().into_scalar::<i64>();
            all += count;
            *gradient = drop_gradient(gradient.clone(), keep, uniform, lambda);
        }
        kept as f64 / all.max(1) as f64
    }
}

impl Method for MaskTuning {
    fn parameters(&self) -> Parameters {
        let mut masks = Parameters::default();
        for weight in &self.masked {
            let start = Tensor::full_like(&weight.value, self.settings.start);
            masks.insert(weight.path.clone(), start, weight.shape.clone());
        }
        masks
    }

    fn prepare(&mut self, images: &ImageSet<'_>) {
        if self.settings.dropout.is_some() {
            self.frozen_logits = Some(self.model.classify_all(images));
        }
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        let student = self.logits(parameters, batch.pixels.clone());
        let entropy = cross_entropy(student, batch.labels.clone()).mean();
        let masks = self.masked.iter().map(|weight| parameters[&weight.path].value.clone());
        match mask_regulariser(masks, self.settings.norm_weight) {
            Some(norm) => Objective {
                loss: entropy.clone() + norm.clone(),
                terms: vec![("cross_entropy", entropy), ("mask_norm", norm)],
            },
            None => Objective { loss: entropy, terms: Vec::new() },
        }
    }

    fn step(&self, parameters: &Parameters, batch: &Batch) -> StepOutcome {
        let tracked = parameters.tracked();
        let mut outcome = StepOutcome::of(self.objective(&tracked, batch), &tracked);
        if let Some(dropout) = &self.settings.dropout {
            let (general, agreement) = self.general(parameters, batch, dropout);
            let kept = self.drop_entries(&mut outcome.gradients, &general, batch, dropout.lambda);
            outcome.terms.extend([("distillation", agreement), ("kept", kept)]);
        }
        outcome
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.model.classify_with(pixels, &self.injection(parameters))
    }

    fn threshold(&self, name: &str) -> Option<f64> {
        self.masked.iter().any(|weight| weight.path == name).then_some(self.settings.threshold)
    }

    fn merged(&self, parameters: &Parameters) -> Result<Merged, NotMergeable> {
        let classifier = PlainClassifier::Texts(self.model.text_features());
        Ok(Merged { weights: self.masked_weights(parameters), classifier })
    }

    /// Counts of weights, and the shares that are off in percent.
    fn facts(&self, parameters: &Parameters) -> Vec<(&'static str, f64)> {
        let (sparsity, tower) = (self.sparsity(parameters), self.tower_parameters());
        vec![
            ("masked_weights", sparsity.masked as f64),
            ("masked_weights_off", sparsity.off as f64),
            ("off_percent_of_masked", 100.0 * sparsity.share_of_masked()),
            ("tower_parameters", tower as f64),
            ("off_percent_of_tower", 100.0 * sparsity.share_of(tower)),
        ]
    }
}

/// What training could change of the image tower, in module order: all but running statistics.
fn weights_of_tower(clip: &Clip) -> impl Iterator<Item = NamedParameter> {
    let parameters = clip.parameters(Part::Image).into_iter();
    parameters.filter(|parameter| !RunningStatistics::holds(&parameter.path))
}
