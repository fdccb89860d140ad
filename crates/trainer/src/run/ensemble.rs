//! The logit ensemble: what a mixture of the trained and the zero-shot model scores, for every share of a sweep.
//!
//! ProReg's `ensemble_test` (`vilt/modules/objectives.py`): `share trained + (1 - share) zero_shot`. There `alpha` is
//! the share of the zero-shot model.

use regulus_datasets::TestSplit;
use serde::{Deserialize, Serialize};

use super::SplitScores;
use crate::evaluate::score;
use crate::experiment::{EnsembleSpace, EnsembleSpec};
use crate::recorder::{RecordError, Recorder};

/// Scores of one mixture of the trained and the zero-shot model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnsembleScores {
    /// What is mixed.
    pub space: EnsembleSpace,
    /// Share of the trained model, in [0, 1].
    pub share: f64,
    /// Scores by split.
    pub splits: Vec<SplitScores>,
}

/// Scores of every share, split by split. Logits are given, so that each image is looked at once by each model.
pub(super) struct Sweep(Vec<EnsembleScores>);

impl Sweep {
    pub(super) fn new(spec: Option<&EnsembleSpec>) -> Self {
        let shares = spec.into_iter().flat_map(|spec| spec.shares.iter().map(|share| (spec.space, *share)));
        Self(shares.map(|(space, share)| EnsembleScores { space, share, splits: Vec::new() }).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the scores of a split.
    ///
    /// # Shapes
    /// - `trained`, `zero_shot`: logits, row by row, `[images, classes]`
    pub(super) fn add(
        &mut self,
        split: &TestSplit,
        classes: usize,
        trained: &[f32],
        zero_shot: &[f32],
        recorder: &mut Recorder,
    ) -> Result<(), RecordError> {
        for EnsembleScores { space, share, splits } in &mut self.0 {
            let mixed = match space {
                EnsembleSpace::Logits => mixture(trained, zero_shot, *share),
            };
            let scores = score(&mixed, &split.images.labels, classes);
            recorder.ensemble_score(&split.name, *share, "accuracy", scores.accuracy)?;
            recorder.ensemble_score(
                &split.name,
                *share,
                "mean_class_accuracy",
                scores.mean_class_accuracy,
            )?;
            splits.push(SplitScores { split: split.name.clone(), images: split.images.len(), scores });
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<EnsembleScores> {
        self.0
    }
}

/// `share trained + (1 - share) zero_shot`; of finite values exactly one of them where the share is 0 or 1.
pub(super) fn mixture(trained: &[f32], zero_shot: &[f32], share: f64) -> Vec<f32> {
    let pairs = trained.iter().zip(zero_shot);
    pairs.map(|(&a, &b)| (share * f64::from(a) + (1.0 - share) * f64::from(b)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_ends_of_a_mixture_are_the_models(
            pairs in proptest::collection::vec((-1e30f32..1e30, -1e30f32..1e30), 1..20), share in 0.0..=1.0,
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            prop_assert_eq!(&mixture(&a, &b, 1.0), &a);
            prop_assert_eq!(&mixture(&a, &b, 0.0), &b);
            for (mixed, (a, b)) in mixture(&a, &b, share).iter().zip(a.iter().zip(&b)) {
                prop_assert!((a.min(*b)..=a.max(*b)).contains(mixed));
            }
        }
    }

    #[test]
    fn a_mixture_by_hand() {
        assert_eq!(mixture(&[4.0, -2.0], &[0.0, 6.0], 0.25), [1.0, 4.0]);
    }
}
