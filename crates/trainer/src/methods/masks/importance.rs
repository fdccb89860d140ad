//! Which weights of the image tower matter for a task: those that the loss depends on before anything is trained, or
//! those that conventional fine-tuning changes most.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use burn::tensor::Tensor;
use regulus_clip::{Clip, Injection};
use regulus_losses::cross_entropy;
use serde::Serialize;

use super::groups::weight_group;
use super::set::weights_of_tower;
use crate::batches::Batch;
use crate::parameters::Parameters;
use crate::zero_shot::ZeroShot;

/// How importance is measured (Zheng et al. 2023, section 3). Both measures compare tensors of different sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Mean of `|∂CE/∂W|` over the values, at the pre-trained weights.
    Gradient,
    /// `‖W' - W‖ / ‖W‖` between the pre-trained and the fine-tuned weights, by the L2 norm of all values.
    Change,
}

/// How important the weights of an image tower are.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// The measure.
    pub measure: Measure,
    /// Every tensor, in module order.
    pub tensors: Vec<TensorImportance>,
}

/// How important one tensor is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorImportance {
    /// Canonical path.
    pub path: String,
    /// The kind of weight that it is; see [`weight_group`].
    pub group: &'static str,
    /// Number of values.
    pub parameters: usize,
    /// The measure. `None` where it is not defined: for weights that start from 0 and change, and for gradients that
    /// are no numbers.
    pub importance: Option<f64>,
    #[serde(skip)]
    sums: Sums,
}

/// How important all weights of one kind are, as if they were one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupImportance {
    /// The kind of weight.
    pub group: &'static str,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of values.
    pub parameters: usize,
    /// The measure, as in [`TensorImportance::importance`].
    pub importance: Option<f64>,
}

/// Two sums over values, of which the measure is made. Those of several tensors add.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    /// Of `|∂CE/∂W|`, or of `(W' - W)^2`.
    above: f64,
    /// Of 1, or of `W^2`.
    below: f64,
}

impl Measure {
    fn of(self, sums: Sums) -> Option<f64> {
        if sums.above == 0.0 {
            return Some(0.0);
        }
        let quotient = sums.above / sums.below;
        let value = match self {
            Self::Gradient => quotient,
            Self::Change => quotient.sqrt(),
        };
        value.is_finite().then_some(value)
    }
}

impl Importance {
    /// Measures every weight of the image tower of `clip`; `sums` gets its path and its values on the host.
    fn of(measure: Measure, clip: &Clip, mut sums: impl FnMut(&str, &[f64]) -> Sums) -> Self {
        let tensors = weights_of_tower(clip).map(|weight| {
            let values = host(&weight.value);
            let sums = sums(&weight.path, &values);
            let group = weight_group(&clip.visual, &weight.path);
            let importance = measure.of(sums);
            TensorImportance { path: weight.path, group, parameters: values.len(), importance, sums }
        });
        Self { measure, tensors: tensors.collect() }
    }

    /// The tensors, the most important first; of equals, the first in module order.
    pub fn ranked(&self) -> Vec<&TensorImportance> {
        let mut tensors: Vec<&TensorImportance> = self.tensors.iter().collect();
        tensors.sort_by(|a, b| descending(a.importance, b.importance));
        tensors
    }

    /// The kinds of weights, the most important first.
    pub fn groups(&self) -> Vec<GroupImportance> {
        let mut kinds: BTreeMap<&'static str, (usize, usize, Sums)> = BTreeMap::new();
        for tensor in &self.tensors {
            let (tensors, parameters, sums) = kinds.entry(tensor.group).or_default();
            *tensors += 1;
            *parameters += tensor.parameters;
            sums.above += tensor.sums.above;
            sums.below += tensor.sums.below;
        }
        let group = |(group, (tensors, parameters, sums))| GroupImportance {
            group,
            tensors,
            parameters,
            importance: self.measure.of(sums),
        };
        let mut groups: Vec<GroupImportance> = kinds.into_iter().map(group).collect();
        groups.sort_by(|a, b| descending(a.importance, b.importance));
        groups
    }
}

/// The larger first, what is not defined last.
fn descending(a: Option<f64>, b: Option<f64>) -> Ordering {
    b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0))
}

/// The mean absolute gradient of the cross-entropy at the pre-trained weights, for each tensor of the image tower. The
/// gradient is that of a batch; the batches count by their number of images.
///
/// `model` classifies the images of `batches` by its text features.
pub fn importance_by_gradient(model: &ZeroShot, batches: impl IntoIterator<Item = Batch>) -> Importance {
    let mut weights = Parameters::default();
    for weight in weights_of_tower(model.clip()) {
        weights.insert(weight.path, weight.value, weight.shape);
    }
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    let mut images = 0usize;
    for batch in batches {
        let size = batch.indices.len();
        let tracked = weights.tracked();
        let injection = tracked.iter().fold(Injection::none(), |injection, (path, leaf)| {
            injection.replace(path.clone(), leaf.value.clone())
        });
        let loss = cross_entropy(model.classify_with(batch.pixels, &injection), batch.labels).mean();
        for (path, gradient) in tracked.gradients(&mut loss.backward()) {
            // Summed on the host, so that it does not depend on threads.
            let sizes: f64 = host(&gradient).iter().map(|slope| slope.abs()).sum();
            *sums.entry(path).or_default() += size as f64 * sizes;
        }
        images += size;
    }
    Importance::of(Measure::Gradient, model.clip(), |path, values| {
        let sum = sums.get(path).copied().unwrap_or_default();
        Sums { above: sum / images.max(1) as f64, below: values.len() as f64 }
    })
}

/// By how much the weights of the image tower of `clip` differ from `trained` ones of the same paths, relative to
/// their size. What was not trained has not changed.
pub fn importance_by_change(clip: &Clip, trained: &Parameters) -> Importance {
    Importance::of(Measure::Change, clip, |path, before| {
        let after = trained.get(path).map_or_else(|| before.to_vec(), |leaf| host(&leaf.value));
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
        Sums {
            above: square(&mut before.iter().zip(after).map(|(before, after)| after - before)),
            below: square(&mut before.iter().copied()),
        }
    })
}

fn host(values: &Tensor<1>) -> Vec<f64> {
    values.to_data_as::<f32>().iter::<f32>().map(f64::from).collect()
}
