//! Which weights of the image tower matter for a task, before anything is trained.

use burn::tensor::Tensor;
use regulus_clip::{Injection, Part, RunningStatistics};
use regulus_losses::cross_entropy;

use crate::batches::Batch;
use crate::parameters::Parameters;
use crate::zero_shot::ZeroShot;

/// How much the loss depends on one weight tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// Canonical path.
    pub path: String,
    /// Number of values.
    pub parameters: usize,
    /// Mean of `|∂CE/∂W|` over the values and the batches.
    pub gradient: f64,
}

/// The mean absolute gradient of the cross-entropy at the pre-trained weights, for each tensor of the image tower in
/// module order (Zheng et al. 2023, section 3.1). Means over values make tensors of different sizes comparable.
///
/// `model` classifies the images of `batches` by its text features.
pub fn importance_by_gradient(model: &ZeroShot, batches: impl IntoIterator<Item = Batch>) -> Vec<Importance> {
    let mut order = Vec::new();
    let mut weights = Parameters::default();
    let parameters = model.clip().parameters(Part::Image).into_iter();
    for parameter in parameters.filter(|parameter| !RunningStatistics::holds(&parameter.path)) {
        order.push(parameter.path.clone());
        weights.insert(parameter.path, parameter.value, parameter.shape);
    }
    let mut sums = vec![0.0; order.len()];
    let mut count = 0usize;
    for batch in batches {
        let tracked = weights.tracked();
        let injection = tracked.iter().fold(Injection::none(), |injection, (path, leaf)| {
            injection.replace(path.clone(), leaf.value.clone())
        });
        let loss = cross_entropy(model.classify_with(batch.pixels, &injection), batch.labels).mean();
        let gradients = tracked.gradients(&mut loss.backward());
        for (sum, path) in sums.iter_mut().zip(&order) {
            *sum += gradients.get(path).map_or(0.0, mean_size);
        }
        count += 1;
    }
    let importance = |(path, sum): (String, f64)| {
        let parameters = weights[&path].shape.iter().product();
        Importance { path, parameters, gradient: sum / count.max(1) as f64 }
    };
    order.into_iter().zip(sums).map(importance).collect()
}

/// Mean absolute value, summed on the host so that it does not depend on threads.
fn mean_size(gradient: &Tensor<1>) -> f64 {
    let values = gradient.to_data_as::<f32>();
    let sum: f64 = values.iter::<f32>().map(|value| f64::from(value.abs())).sum();
    sum / gradient.dims()[0].max(1) as f64
}
