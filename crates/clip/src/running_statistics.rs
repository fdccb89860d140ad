//! Which statistics batch normalisation uses, and what becomes of those of a batch.
//!
//! PyTorch keeps running statistics inside the model and changes them in the forward pass. Here a
//! model is never mutated: who trains with the statistics of the batch owns the running ones.

use crate::injection::Injection;
use burn::tensor::{FloatDType, Tensor};
use regulus_kernels::batch_norm;
use std::collections::BTreeMap;

/// Added to the variance: PyTorch's default, which every published network has.
pub(crate) const EPS: f64 = 1e-5;

/// The statistics that batch normalisation divides by.
#[derive(Debug)]
pub enum Normalisation<'a> {
    /// The model's running statistics, which are weights like all others: evaluation mode.
    Running,
    /// Those of the batch, which also move the running ones: training mode.
    Batch(&'a mut RunningStatistics),
}

/// Batch normalisation (Ioffe and Szegedy 2015) of one layer: `(x - mean) / sqrt(variance + 1e-5) * weight + bias` in
/// each channel. All values are `[channels]`.
#[derive(Debug, Clone)]
pub struct BatchNormParameters {
    /// The factor after the division.
    pub weight: Tensor<1>,
    /// What is added at the end.
    pub bias: Tensor<1>,
    /// The running mean, without batches of this training.
    pub running_mean: Tensor<1>,
    /// The running variance, without batches of this training.
    pub running_var: Tensor<1>,
}

impl BatchNormParameters {
    /// Normalises rows. `path` is the layer's name among the running statistics.
    ///
    /// # Shapes
    /// - `x`, output: `[batch, channels]`
    ///
    /// # Panics
    /// With [`Normalisation::Batch`], if the batch has only one row.
    pub fn rows(self, x: Tensor<2>, path: &str, normalisation: &mut Normalisation<'_>) -> Tensor<2> {
        match normalisation {
            Normalisation::Batch(running) => running.normalise(x, self, path),
            Normalisation::Running => {
                let scale = self.weight / (self.running_var + EPS).sqrt();
                let shift = self.bias - self.running_mean * scale.clone();
                x * scale.unsqueeze::<2>() + shift.unsqueeze::<2>()
            }
        }
    }
}

/// The running statistics of a model that is being trained (Ioffe and Szegedy 2015, section 3.1).
///
/// Each forward pass with [`Normalisation::Batch`] replaces a running value by
/// `0.9 * running + 0.1 * batch`, where the variance of the batch is the unbiased one, as PyTorch
/// does by default. They keep their own precision, whatever that of the batch. The first pass starts at the values that the model and its injection have.
#[derive(Debug, Clone, Default)]
pub struct RunningStatistics {
    values: BTreeMap<String, Tensor<1>>,
    batches: BTreeMap<String, u64>,
}

impl RunningStatistics {
    /// Weight of a new batch: PyTorch's default.
    const MOMENTUM: f64 = 0.1;

    /// Starts at the statistics of a model that has seen `batches` batches, by the path of PyTorch's
    /// counters, such as `layer1.0.bn1.num_batches_tracked`. A counter that is not named starts at 0.
    pub fn new(batches: BTreeMap<String, u64>) -> Self {
        Self { values: BTreeMap::new(), batches }
    }

    /// These statistics with other values: those of [`Self::values`] at another time. A path that is not named
    /// starts again at the value that the model has.
    #[must_use]
    pub fn with_values(self, values: BTreeMap<String, Tensor<1>>) -> Self {
        Self { values, ..self }
    }

    /// Whether the parameter at `path` is a running statistic: a value that a method may read and
    /// replace, but that no optimiser should train.
    pub fn holds(path: &str) -> bool {
        path.ends_with(".running_mean") || path.ends_with(".running_var")
    }

    /// The running means and variances by path, such as `layer1.0.bn1.running_mean`, each
    /// `[channels]`, without gradients. Empty before the first forward pass.
    pub fn values(&self) -> &BTreeMap<String, Tensor<1>> {
        &self.values
    }

    /// How many batches each normalisation has seen, by the path of PyTorch's counter.
    pub fn batches(&self) -> &BTreeMap<String, u64> {
        &self.batches
    }

    /// `injection` and, after it, these statistics in the place of the model's: for the evaluation
    /// of what was trained.
    #[must_use]
    pub fn injected(&self, injection: Injection) -> Injection {
        self.values.iter().fold(injection, |all, (path, value)| all.replace(path.clone(), value.clone()))
    }

    /// Normalises with the statistics of the batch and moves the running ones of the normalisation at `path`, such as
    /// `layer1.0.bn1`.
    pub(crate) fn normalise<const D: usize>(
        &mut self,
        x: Tensor<D>,
        norm: BatchNormParameters,
        path: &str,
    ) -> Tensor<D> {
        let [channels] = norm.weight.dims();
        let count = x.shape().num_elements() / channels;
        assert!(count > 1, "the statistics of a batch need more than one value per channel");
        let normalised = batch_norm(x, norm.weight, norm.bias, EPS);
        let unbiased = normalised.variance * (count as f64 / (count - 1) as f64);
        self.move_towards(format!("{path}.running_mean"), norm.running_mean, normalised.mean);
        self.move_towards(format!("{path}.running_var"), norm.running_var, unbiased);
        self.count(format!("{path}.num_batches_tracked"));
        normalised.output
    }

    /// Moves the running value at `path`, which is `before` in the model, towards that of a batch.
    fn move_towards(&mut self, path: String, before: Tensor<1>, batch: Tensor<1>) {
        let running = self.values.get(&path).cloned().unwrap_or(before);
        let batch = batch.cast(FloatDType::from(running.dtype()));
        let moved = running * (1.0 - Self::MOMENTUM) + batch * Self::MOMENTUM;
        self.values.insert(path, moved.detach());
    }

    /// Counts a batch under the path of a counter.
    fn count(&mut self, path: String) {
        let batches = self.batches.entry(path).or_default();
        *batches = batches.saturating_add(1);
    }
}
