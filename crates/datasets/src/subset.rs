//! Which of the labelled images train: the same few, the same share, or a long tail of every data set.
//!
//! Claims about small and unbalanced data need subsets that two runs share. A class's images are put in an order that
//! depends on the seed and the class alone, and a subset takes the first of them, so that what a smaller subset holds
//! is also in a larger one.

use std::fmt;

use regulus_images::random::Stream;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many images of each class are kept. A class is never left without an image, and one with fewer images than
/// that is taken whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subset {
    /// This many.
    Shots(usize),
    /// This share of the class, above 0 and at most 1, rounded to the nearest image.
    Fraction(f64),
    /// Exponentially fewer from class to class: see [`long_tailed_counts`]. The first class keeps as many images as
    /// the largest class has.
    LongTailed {
        /// How many times as many images the first class has as the last; 1 or more.
        ratio: f64,
    },
}

/// Short name for folders and tables.
impl fmt::Display for Subset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shots(shots) => write!(formatter, "{shots}-shots"),
            Self::Fraction(fraction) => write!(formatter, "{fraction}-of-each"),
            Self::LongTailed { ratio } => write!(formatter, "long-tailed-{ratio}"),
        }
    }
}

/// A [`Subset`] that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum SubsetError {
    /// No shots.
    #[error("shots are {shots}; expected at least 1")]
    Shots {
        /// Their number.
        shots: usize,
    },
    /// No share.
    #[error("the fraction is {fraction}; expected more than 0 and at most 1")]
    Fraction {
        /// The share.
        fraction: f64,
    },
    /// No imbalance.
    #[error("the ratio is {ratio}; expected a number of 1 or more")]
    Ratio {
        /// The ratio.
        ratio: f64,
    },
}

impl Subset {
    /// Whether the values make sense; to be asked of every description that came from a file.
    ///
    /// # Errors
    /// [`SubsetError`] with the value that does not.
    pub fn check(&self) -> Result<(), SubsetError> {
        match *self {
            Self::Shots(0) => Err(SubsetError::Shots { shots: 0 }),
            Self::Fraction(fraction) if !(fraction > 0.0 && fraction <= 1.0) => {
                Err(SubsetError::Fraction { fraction })
            }
            Self::LongTailed { ratio } if !(ratio.is_finite() && ratio >= 1.0) => {
                Err(SubsetError::Ratio { ratio })
            }
            _ => Ok(()),
        }
    }

    /// Number of images that are kept of each class, of the `available` ones.
    pub fn counts(&self, available: &[usize]) -> Vec<usize> {
        let wanted: Vec<usize> = match *self {
            Self::Shots(shots) => vec![shots; available.len()],
            Self::Fraction(fraction) => {
                available.iter().map(|&count| (fraction * count as f64).round() as usize).collect()
            }
            Self::LongTailed { ratio } => {
                let largest = available.iter().copied().max().unwrap_or(0);
                long_tailed_counts(available.len(), largest, ratio)
            }
        };
        wanted.into_iter().zip(available).map(|(wanted, &available)| wanted.max(1).min(available)).collect()
    }

    /// Indices into `labels`, each below `classes`, of the images that are kept: the first of every class, then the
    /// second, and so on. A class's images of a smaller subset are the first ones of a larger; with
    /// [`Subset::Shots`] the whole smaller list is the beginning of the larger. A label that is no class is left
    /// out.
    pub fn choose(&self, labels: &[usize], classes: usize, seed: u64) -> Vec<usize> {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); classes];
        for (index, &label) in labels.iter().enumerate() {
            if let Some(members) = members.get_mut(label) {
                members.push(index);
            }
        }
        for (class, members) in members.iter_mut().enumerate() {
            Stream::new(seed, "subset", 0, class as u64).shuffle(members);
        }
        let available: Vec<usize> = members.iter().map(Vec::len).collect();
        taking_turns(&self.counts(&available))
            .into_iter()
            .filter_map(|(rank, class)| members[class].get(rank).copied())
            .collect()
    }
}

/// The places `(rank, class)` of `counts[class]` images of each class: the first of every class, then the second of
/// those that have one, and so on.
pub(crate) fn taking_turns(counts: &[usize]) -> Vec<(usize, usize)> {
    let most = counts.iter().copied().max().unwrap_or(0);
    (0..most)
        .flat_map(|rank| {
            (0..counts.len()).filter(move |&class| rank < counts[class]).map(move |class| (rank, class))
        })
        .collect()
}

/// Images per class of a long tail: class `i` of `C` has `largest * ratio^(-i / (C - 1))`, rounded down, and at least
/// one if `largest` is not 0. The profile of CIFAR-LT (Cao et al., "Learning Imbalanced Datasets with
/// Label-Distribution-Aware Margin Loss", NeurIPS 2019; `imbalance_cifar.py`, whose `imb_factor` is `1 / ratio`).
///
/// ```
/// assert_eq!(regulus_datasets::long_tailed_counts(3, 100, 100.0), [100, 10, 1]);
/// ```
pub fn long_tailed_counts(classes: usize, largest: usize, ratio: f64) -> Vec<usize> {
    let steps = classes.saturating_sub(1).max(1) as f64;
    // Not `powf`, which differs between platforms.
    let count = |class: usize| (largest as f64 / libm::pow(ratio, class as f64 / steps)) as usize;
    (0..classes).map(|class| count(class).clamp(largest.min(1), largest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_profile_is_that_of_cifar_lt() {
        // 10 classes of 5,000 images, imbalance factor 100: the published counts.
        let published = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50];
        assert_eq!(long_tailed_counts(10, 5000, 100.0), published);
        assert_eq!(long_tailed_counts(4, 7, 1.0), [7; 4]);
        assert_eq!(long_tailed_counts(1, 7, 50.0), [7]);
        assert_eq!(long_tailed_counts(3, 4, 1e300), [4, 1, 1]);
        assert_eq!(long_tailed_counts(2, 0, 10.0), [0, 0]);
        assert!(long_tailed_counts(0, 5, 2.0).is_empty());
    }

    #[test]
    fn no_class_is_lost_and_none_gets_more_than_it_has() {
        let available = [1, 10, 104];
        assert_eq!(Subset::Shots(4).counts(&available), [1, 4, 4]);
        assert_eq!(Subset::Fraction(0.1).counts(&available), [1, 1, 10]);
        assert_eq!(Subset::Fraction(1.0).counts(&available), available);
        assert_eq!(Subset::LongTailed { ratio: 104.0 }.counts(&available), [1, 10, 1]);
        assert!(Subset::Shots(2).counts(&[]).is_empty());
    }

    #[test]
    fn shots_of_a_few_are_the_beginning_of_more() {
        let labels: Vec<usize> = (0..60).map(|index| index % 5).collect();
        let (few, many) = (Subset::Shots(2).choose(&labels, 5, 7), Subset::Shots(6).choose(&labels, 5, 7));
        assert_eq!(few, many[..10]);
        assert_eq!(labels_of(&few, &labels), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
        assert_ne!(few, Subset::Shots(2).choose(&labels, 5, 8));
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (subset, message) in [
            (Subset::Shots(0), "shots are 0"),
            (Subset::Fraction(0.0), "fraction is 0"),
            (Subset::Fraction(f64::NAN), "fraction is NaN"),
            (Subset::Fraction(1.5), "fraction is 1.5"),
            (Subset::LongTailed { ratio: 0.5 }, "ratio is 0.5"),
            (Subset::LongTailed { ratio: f64::INFINITY }, "ratio is inf"),
        ] {
            assert!(subset.check().unwrap_err().to_string().contains(message), "{subset:?}");
        }
        assert_eq!(Subset::Fraction(1.0).check(), Ok(()));
    }

    fn labels_of(chosen: &[usize], labels: &[usize]) -> Vec<usize> {
        chosen.iter().map(|&index| labels[index]).collect()
    }

    /// A smaller subset and a larger one of the same kind.
    fn pairs() -> impl Strategy<Value = (Subset, Subset)> {
        let ordered = |a: f64, b: f64| (a.min(b), a.max(b));
        prop_oneof![
            (1usize..9, 0usize..5).prop_map(|(few, more)| (Subset::Shots(few), Subset::Shots(few + more))),
            (0.01f64..=1.0, 0.01f64..=1.0).prop_map(move |(a, b)| {
                let (low, high) = ordered(a, b);
                (Subset::Fraction(low), Subset::Fraction(high))
            }),
            (1.0f64..200.0, 1.0f64..200.0).prop_map(move |(a, b)| {
                let (low, high) = ordered(a, b);
                (Subset::LongTailed { ratio: high }, Subset::LongTailed { ratio: low })
            }),
        ]
    }

    proptest! {
        #[test]
        fn of_each_class_a_smaller_subset_is_the_beginning_of_a_larger(
            labels in prop::collection::vec(0usize..4, 0..80), (small, large) in pairs(), seed: u64,
        ) {
            let of_class = |subset: Subset, class: usize| -> Vec<usize> {
                let chosen = subset.choose(&labels, 4, seed);
                chosen.into_iter().filter(|&index| labels[index] == class).collect()
            };
            for class in 0..4 {
                let (few, many) = (of_class(small, class), of_class(large, class));
                prop_assert!(many.starts_with(&few));
                prop_assert_eq!(few.is_empty(), !labels.contains(&class));
            }
        }
    }
}
