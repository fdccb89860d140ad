//! Aggregation of the parameters of all epochs, as PromptSRC's self-ensemble of prompts needs it: one running
//! sum, so that no snapshot is kept.
//!
//! Khattak et al., "Self-regulating Prompts: Foundational Model Adaptation without Forgetting", ICCV 2023,
//! section 3.2.2; `trainers/promptsrc.py`. The official code averages the frozen weights too, which changes
//! nothing but their rounding; here the caller passes what it trains. The sum is kept in f64 on the host.

use thiserror::Error;

/// How the epochs `e = 1..=E` are weighted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregation {
    /// `exp(-(e - mean)² / (2 std²))`, scaled to the sum 1: Gaussian prompt aggregation.
    Gaussian {
        /// The epoch of the largest weight, counted from 1; it may lie outside the training.
        mean: f64,
        /// Standard deviation, in epochs.
        std: f64,
    },
    /// `1/E` for every epoch.
    Equal,
    /// 1 for the last epoch: no aggregation.
    Last,
}

/// Why parameters cannot be aggregated.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum AggregationError {
    /// There is no epoch to aggregate.
    #[error("an aggregation over 0 epochs: train for at least one")]
    NoEpochs,
    /// The Gaussian's parameters are not usable numbers.
    #[error(
        "a Gaussian over epochs with mean {mean} and std {std}: choose a finite mean and a finite std above 0"
    )]
    NotAGaussian {
        /// The mean asked for.
        mean: f64,
        /// The standard deviation asked for.
        std: f64,
    },
    /// All weights vanish in f64: the mean is too many standard deviations away.
    #[error(
        "a Gaussian over epochs with mean {mean} and std {std} is 0 in all of the epochs 1 to {epochs}: move the mean \
         closer or widen the std"
    )]
    NoWeight {
        /// The mean asked for.
        mean: f64,
        /// The standard deviation asked for.
        std: f64,
        /// Number of epochs.
        epochs: usize,
    },
    /// A snapshot has another length than those before it.
    #[error(
        "a snapshot of {got} values after snapshots of {expected}: aggregate the same parameters in every epoch"
    )]
    Length {
        /// Values in the snapshots before.
        expected: usize,
        /// Values in this one.
        got: usize,
    },
    /// All epochs have been added already.
    #[error("a snapshot after all {epochs} epochs have been aggregated")]
    TooMany {
        /// Number of epochs that were announced.
        epochs: usize,
    },
    /// The aggregate was asked for before the last epoch.
    #[error("{added} of {epochs} epochs aggregated: their weights do not add up to 1 before the last")]
    Unfinished {
        /// Number of epochs added.
        added: usize,
        /// Number of epochs that were announced.
        epochs: usize,
    },
}

impl Aggregation {
    /// The weights of epochs 1 to `epochs`, in order; their sum is 1 up to rounding.
    ///
    /// # Errors
    ///
    /// Without epochs, and for a Gaussian that gives no epoch a weight.
    pub fn weights(self, epochs: usize) -> Result<Vec<f64>, AggregationError> {
        if epochs == 0 {
            return Err(AggregationError::NoEpochs);
        }
        match self {
            Self::Gaussian { mean, std } => gaussian(mean, std, epochs),
            Self::Equal => Ok(vec![1.0 / epochs as f64; epochs]),
            Self::Last => Ok((1..=epochs).map(|epoch| if epoch == epochs { 1.0 } else { 0.0 }).collect()),
        }
    }
}

fn gaussian(mean: f64, std: f64, epochs: usize) -> Result<Vec<f64>, AggregationError> {
    if !(mean.is_finite() && std.is_finite() && std > 0.0) {
        return Err(AggregationError::NotAGaussian { mean, std });
    }
    let densities = (1..=epochs).map(|epoch| (-0.5 * ((epoch as f64 - mean) / std).powi(2)).exp());
    let densities: Vec<f64> = densities.collect();
    let sum: f64 = densities.iter().sum();
    if sum == 0.0 {
        return Err(AggregationError::NoWeight { mean, std, epochs });
    }
    Ok(densities.into_iter().map(|density| density / sum).collect())
}

/// `Σ_e w_e θ_e` over the snapshots `θ_e` that are added at the end of each epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningAggregate {
    weights: Vec<f64>,
    added: usize,
    sum: Vec<f64>,
}

impl RunningAggregate {
    /// Nothing added yet.
    ///
    /// # Errors
    ///
    /// As [`Aggregation::weights`].
    pub fn new(aggregation: Aggregation, epochs: usize) -> Result<Self, AggregationError> {
        Ok(Self { weights: aggregation.weights(epochs)?, added: 0, sum: Vec::new() })
    }

    /// Goes on from the state of an interrupted training: [`RunningAggregate::added`] and
    /// [`RunningAggregate::sum`] of then. (The official code starts again from nothing.)
    ///
    /// # Errors
    ///
    /// As [`Aggregation::weights`], and if more epochs were added than there are.
    pub fn resume(
        aggregation: Aggregation,
        epochs: usize,
        added: usize,
        sum: Vec<f64>,
    ) -> Result<Self, AggregationError> {
        let weights = aggregation.weights(epochs)?;
        if added > epochs {
            return Err(AggregationError::TooMany { epochs });
        }
        Ok(Self { weights, added, sum })
    }

    /// Adds the parameters at the end of the next epoch, flat and in the same order every time.
    ///
    /// # Errors
    ///
    /// If the snapshot has another length than the first one, or all epochs have been added.
    pub fn add(&mut self, snapshot: &[f32]) -> Result<(), AggregationError> {
        let Some(&weight) = self.weights.get(self.added) else {
            return Err(AggregationError::TooMany { epochs: self.weights.len() });
        };
        if self.added == 0 {
            self.sum = vec![0.0; snapshot.len()];
        }
        if self.sum.len() != snapshot.len() {
            return Err(AggregationError::Length { expected: self.sum.len(), got: snapshot.len() });
        }
        if weight > 0.0 {
            for (sum, &value) in self.sum.iter_mut().zip(snapshot) {
                *sum += weight * f64::from(value);
            }
        }
        self.added += 1;
        Ok(())
    }

    /// Number of epochs added.
    pub fn added(&self) -> usize {
        self.added
    }

    /// The weighted sum so far; empty before the first epoch.
    pub fn sum(&self) -> &[f64] {
        &self.sum
    }

    /// The aggregate, rounded to f32.
    ///
    /// # Errors
    ///
    /// If epochs are missing.
    pub fn finish(self) -> Result<Vec<f32>, AggregationError> {
        if self.added < self.weights.len() {
            return Err(AggregationError::Unfinished { added: self.added, epochs: self.weights.len() });
        }
        Ok(self.sum.into_iter().map(|value| value as f32).collect())
    }
}
