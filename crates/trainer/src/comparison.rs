//! Verdicts on claims: paired differences over seeds with a 95 % confidence interval.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// What the measurements say of a claim "left is above right".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The whole interval is above 0.
    Holds,
    /// The interval contains 0.
    NotResolved,
    /// The whole interval is below 0.
    Fails,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Holds => "holds",
            Self::NotResolved => "not resolved",
            Self::Fails => "fails",
        })
    }
}

/// Mean of paired differences with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Number of pairs.
    pub pairs: usize,
    /// Mean difference.
    pub mean: f64,
    /// Half the width of the 95 % interval (Student's t over the pairs).
    pub half_width: f64,
    /// How many of the differences are above 0.
    pub positive: usize,
}

/// Smallest number of pairs that a verdict may rest on.
pub const FEWEST_PAIRS: usize = 5;

impl PairedDifference {
    /// Differences of one value per seed; `None` for fewer than two.
    pub fn of(differences: &[f64]) -> Option<Self> {
        let pairs = differences.len();
        if pairs < 2 {
            return None;
        }
        let quantile = StudentsT::new(0.0, 1.0, (pairs - 1) as f64).ok()?.inverse_cdf(0.975);
        let half_width = quantile * standard_deviation(differences) / (pairs as f64).sqrt();
        let positive = differences.iter().filter(|difference| **difference > 0.0).count();
        Some(Self { pairs, mean: mean(differences), half_width, positive })
    }

    /// The verdict; fewer than [`FEWEST_PAIRS`] pairs resolve nothing, nor do differences without any spread,
    /// which are one measurement repeated.
    pub fn verdict(&self) -> Verdict {
        if self.pairs < FEWEST_PAIRS || self.half_width == 0.0 {
            Verdict::NotResolved
        } else if self.mean - self.half_width > 0.0 {
            Verdict::Holds
        } else if self.mean + self.half_width < 0.0 {
            Verdict::Fails
        } else {
            Verdict::NotResolved
        }
    }
}

/// Mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Sample standard deviation (`n - 1`); 0 of fewer than two values.
pub fn standard_deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre) * (value - centre)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// Harmonic mean of two percentages; 0 if both are 0.
pub fn harmonic_mean(a: f64, b: f64) -> f64 {
    if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students_t() {
        // t(0.975, 4) = 2.776445; sd of 1..5 is sqrt(2.5).
        let difference = PairedDifference::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((difference.half_width - 2.776_445 * (2.5f64 / 5.0).sqrt()).abs() < 1e-5);
        assert_eq!((difference.mean, difference.positive), (3.0, 5));
    }

    #[test]
    fn verdicts_have_three_outcomes_and_need_five_pairs() {
        let verdict = |values: &[f64]| PairedDifference::of(values).map(|d| d.verdict());
        assert_eq!(verdict(&[1.0, 1.1, 0.9, 1.0, 1.2]), Some(Verdict::Holds));
        assert_eq!(verdict(&[-1.0, -1.1, -0.9, -1.0, -1.2]), Some(Verdict::Fails));
        assert_eq!(verdict(&[1.0, -1.0, 0.5, -0.5, 0.1]), Some(Verdict::NotResolved));
        assert_eq!(verdict(&[1.0, 1.1, 0.9, 1.0]), Some(Verdict::NotResolved));
        assert_eq!(verdict(&[1.0]), None);
    }

    #[test]
    fn one_value_repeated_resolves_nothing() {
        let difference = PairedDifference::of(&[2.0; 5]).unwrap();
        assert_eq!((difference.half_width, difference.verdict()), (0.0, Verdict::NotResolved));
    }

    #[test]
    fn harmonic_mean_by_hand() {
        assert!((harmonic_mean(75.0, 50.0) - 60.0).abs() < 1e-12);
        assert_eq!(harmonic_mean(0.0, 0.0), 0.0);
    }
}
