//! Masks as a [`Part`]: which weights have one, how it is applied, and how dropped gradients act on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use regulus_clip::{Clip, Injection, NamedParameter, Part as Tower, RunningStatistics, WeightChange};
use regulus_losses::{Sparsity, drop_gradient, keep_probability, mask_regulariser, masked_weight};

use super::{MaskError, MaskSettings, MaskTargets, MaskedWeight};
use crate::methods::part::Part;
use crate::parameters::{LeafGradients, Parameters};

/// Real-valued masks of some of an image tower's weights, named as their weights.
#[derive(Debug, Clone)]
pub struct Masks {
    weights: Vec<MaskedWeight>,
    settings: MaskSettings,
    tower_parameters: usize,
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

    fn mask(&self) -> Option<(Tensor<1>, f64)> {
        Some((self.mask.clone(), self.threshold))
    }
}

impl Masks {
    /// Masks of the `targets` among the weights of `clip`'s image tower.
    ///
    /// # Errors
    /// [`MaskError`] if the model has no weights of that kind.
    pub fn new(clip: &Clip, targets: MaskTargets, settings: MaskSettings) -> Result<Self, MaskError> {
        let tower_parameters =
            weights_of_tower(clip).map(|weight| weight.shape.iter().product::<usize>()).sum();
        Ok(Self::of(targets.of(clip)?, settings, tower_parameters))
    }

    /// Masks of these weights of an encoder, which has so many parameters that training could change.
    pub(in crate::methods) fn of(
        weights: Vec<MaskedWeight>,
        settings: MaskSettings,
        tower_parameters: usize,
    ) -> Self {
        Self { weights, settings, tower_parameters }
    }

    /// Whether the weight at `path` has a mask.
    pub fn holds(&self, path: &str) -> bool {
        self.weights.iter().any(|weight| weight.path == path)
    }

    /// The weights that have a mask, in the order in which random numbers are drawn for them.
    pub fn weights(&self) -> &[MaskedWeight] {
        &self.weights
    }

    /// How they are trained.
    pub fn settings(&self) -> &MaskSettings {
        &self.settings
    }

    /// Number of trained parameters of the whole image tower, for [`Sparsity::share_of`].
    pub fn tower_parameters(&self) -> usize {
        self.tower_parameters
    }

    /// The threshold of the mask of this name, if there is one.
    pub fn threshold(&self, name: &str) -> Option<f64> {
        self.holds(name).then_some(self.settings.threshold)
    }

    /// How many of the masked entries are off.
    pub fn sparsity(&self, parameters: &Parameters) -> Sparsity {
        let masks = self.weights.iter().map(|weight| parameters[&weight.path].value.clone());
        masks.map(|mask| Sparsity::of(mask, self.settings.threshold)).fold(Sparsity::default(), |a, b| a + b)
    }

    /// Counts of weights, and the shares that are off in percent.
    pub fn facts(&self, parameters: &Parameters) -> Vec<(&'static str, f64)> {
        let sparsity = self.sparsity(parameters);
        vec![
            ("masked_weights", sparsity.masked as f64),
            ("masked_weights_off", sparsity.off as f64),
            ("off_percent_of_masked", 100.0 * sparsity.share_of_masked()),
            ("tower_parameters", self.tower_parameters as f64),
            ("off_percent_of_tower", 100.0 * sparsity.share_of(self.tower_parameters)),
        ]
    }

    /// The weights with those entries set to 0 whose masks are off, by path. Masks that `parameters` lack are left out.
    pub fn applied(&self, parameters: &Parameters) -> BTreeMap<String, Tensor<1>> {
        let apply = |weight: &MaskedWeight| {
            let mask = parameters.get(&weight.path)?.value.clone();
            Some((weight.path.clone(), masked_weight(weight.value.clone(), mask, self.settings.threshold)))
        };
        self.weights.iter().filter_map(apply).collect()
    }

    /// What the loss gains by the masks' norms, `[1]`; nothing if no weight has a mask, or the factor is 0.
    pub fn penalty(&self, parameters: &Parameters) -> Option<Tensor<1>> {
        let masks = self.weights.iter().map(|weight| parameters[&weight.path].value.clone());
        mask_regulariser(masks, self.settings.norm_weight)
    }

    /// Drops entries of the task's gradient in place, where the `general` one opposes it, and returns the share of
    /// entries that are kept. `draws` are uniform numbers, as many for each weight as it has entries.
    pub fn drop_entries(
        &self,
        task: &mut LeafGradients,
        general: &LeafGradients,
        draws: Vec<Vec<f32>>,
        lambda: f64,
    ) -> f64 {
        let (mut kept, mut all) = (0i64, 0usize);
        for (weight, uniform) in self.weights.iter().zip(draws) {
            let Some(gradient) = task.get_mut(&weight.path) else { continue };
            let opposed = general.get(&weight.path).cloned().unwrap_or_else(|| gradient.zeros_like());
            let count = uniform.len();
            let uniform =
                Tensor::from_data(TensorData::new(uniform, [count]), (&gradient.device(), gradient.dtype()));
            let keep = keep_probability(gradient.clone(), opposed);
            kept += keep.clone().greater(uniform.clone()).int().sum().into_scalar::<i64>();
            all += count;
            *gradient = drop_gradient(gradient.clone(), keep, uniform, lambda);
        }
        kept as f64 / all.max(1) as f64
    }
}

impl Part for Masks {
    fn parameters(&self) -> Parameters {
        let mut masks = Parameters::default();
        for weight in &self.weights {
            let start = Tensor::full_like(&weight.value, self.settings.start);
            masks.insert(weight.path.clone(), start, weight.shape.clone());
        }
        masks
    }

    fn inject(&self, parameters: &Parameters, injection: Injection) -> Injection {
        self.weights.iter().fold(injection, |injection, weight| {
            let mask = parameters[&weight.path].value.clone();
            let threshold = self.settings.threshold;
            injection.change(weight.path.clone(), Arc::new(Masked { mask, threshold }))
        })
    }

    fn reaches_images(&self) -> bool {
        true
    }

    fn reaches_texts(&self) -> bool {
        false
    }
}

/// What training could change of the image tower, in module order: all but running statistics.
pub(super) fn weights_of_tower(clip: &Clip) -> impl Iterator<Item = NamedParameter> {
    let parameters = clip.parameters(Tower::Image).into_iter();
    parameters.filter(|parameter| !RunningStatistics::holds(&parameter.path))
}
