//! Which parameters a run ends with: those of the last step, or a weighted mean over its epochs, as PromptSRC's
//! Gaussian aggregation of prompts. The mean is kept as one running sum beside the training loop.

use burn::tensor::{Tensor, TensorData};
use regulus_losses::{Aggregation, AggregationError, RunningAggregate};
use serde::{Deserialize, Serialize};

use crate::parameters::Parameters;
use crate::training_state::AggregateState;

/// How the parameters at the ends of the epochs `e = 1..=E` are weighted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "weights", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AggregationSpec {
    /// The density of a normal distribution over the epochs, scaled to the sum 1.
    Gaussian {
        /// Epoch of the largest weight, from 1.
        mean: f64,
        /// Standard deviation, in epochs.
        std: f64,
    },
    /// All alike.
    Equal,
    /// The last epoch alone.
    Last,
}

impl From<AggregationSpec> for Aggregation {
    fn from(spec: AggregationSpec) -> Self {
        match spec {
            AggregationSpec::Gaussian { mean, std } => Self::Gaussian { mean, std },
            AggregationSpec::Equal => Self::Equal,
            AggregationSpec::Last => Self::Last,
        }
    }
}

/// The mean over the epochs of a run so far.
#[derive(Debug)]
pub struct EpochAggregate {
    running: RunningAggregate,
}

impl EpochAggregate {
    /// Nothing added yet, of a run of `epochs` epochs.
    ///
    /// # Errors
    /// [`AggregationError`] without epochs, and for a Gaussian that gives no epoch a weight.
    pub fn new(spec: AggregationSpec, epochs: usize) -> Result<Self, AggregationError> {
        Ok(Self { running: RunningAggregate::new(spec.into(), epochs)? })
    }

    /// Goes on from `state`, which an aggregate of the same run has left.
    ///
    /// # Errors
    /// As [`EpochAggregate::new`], and if more epochs were added than there are.
    pub fn resume(
        spec: AggregationSpec,
        epochs: usize,
        state: AggregateState,
    ) -> Result<Self, AggregationError> {
        let AggregateState { added, sum } = state;
        Ok(Self { running: RunningAggregate::resume(spec.into(), epochs, added, sum)? })
    }

    /// The sum so far.
    pub fn state(&self) -> AggregateState {
        AggregateState { added: self.running.added(), sum: self.running.sum().to_vec() }
    }

    /// Adds the parameters at the end of the next epoch.
    ///
    /// # Errors
    /// [`AggregationError`] behind the last epoch.
    pub fn add(&mut self, parameters: &Parameters) -> Result<(), AggregationError> {
        let values = parameters
            .iter()
            .flat_map(|(_, leaf)| leaf.value.to_data_as::<f32>().iter::<f32>().collect::<Vec<f32>>());
        self.running.add(&values.collect::<Vec<f32>>())
    }

    /// The aggregate, with names and shapes of `parameters`.
    ///
    /// # Errors
    /// [`AggregationError`] before the last epoch.
    pub fn finish(self, parameters: &Parameters) -> Result<Parameters, AggregationError> {
        let mut values = self.running.finish()?.into_iter();
        Ok(parameters.map(|_, leaf| {
            let length = leaf.value.dims()[0];
            let next: Vec<f32> = values.by_ref().take(length).collect();
            Tensor::from_data(TensorData::new(next, [length]), &leaf.value.device())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, device, tensor};

    #[test]
    fn the_mean_of_each_leaf_is_its_own() {
        let device = device();
        let parameters = |a: &[f32], b: &[f32]| {
            let mut parameters = Parameters::default();
            parameters.insert("a", tensor(a, &device), vec![a.len()]);
            parameters.insert("b", tensor(b, &device), vec![b.len()]);
            parameters
        };
        let epochs = [parameters(&[1.0, 2.0], &[5.0]), parameters(&[3.0, 6.0], &[-1.0])];
        for (spec, a, b) in [
            (AggregationSpec::Equal, [2.0, 4.0], [2.0]),
            (AggregationSpec::Last, [3.0, 6.0], [-1.0]),
            (AggregationSpec::Gaussian { mean: 1.5, std: 1.0 }, [2.0, 4.0], [2.0]),
        ] {
            let mut aggregate = EpochAggregate::new(spec, 2).unwrap();
            epochs.iter().for_each(|epoch| aggregate.add(epoch).unwrap());
            let mean = aggregate.finish(&epochs[0]).unwrap();
            close(&mean["a"].value, &a, 1e-6);
            close(&mean["b"].value, &b, 1e-6);
        }
    }

    #[test]
    fn a_run_that_ends_early_has_no_aggregate() {
        let mut aggregate = EpochAggregate::new(AggregationSpec::Equal, 2).unwrap();
        aggregate.add(&Parameters::default()).unwrap();
        assert!(aggregate.finish(&Parameters::default()).is_err());
    }
}
