//! Ensembles: what a mixture of the trained and the zero-shot model scores, for every share of a sweep.
//!
//! Of logits: ProReg's `ensemble_test` (`vilt/modules/objectives.py`), `share trained + (1 - share) zero_shot`. There
//! `alpha` is the share of the zero-shot model.
//!
//! Of weights: WiSE-FT (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022; `src/wise_ft.py` of
//! `mlfoundations/wise-ft`), the same mixture of every trained weight, the classifier's too, with what it started from.
//! There `alpha` is the share of the trained model.

use regulus_datasets::TestSplit;
use serde::{Deserialize, Serialize};

use super::{RunError, SplitScores};
use crate::batches::ImageSet;
use crate::evaluate::{logits_of, score};
use crate::experiment::{EnsembleSpace, EnsembleSpec};
use crate::method::Method;
use crate::parameters::Parameters;
use crate::recorder::Recorder;

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

/// What the trained model is mixed with on one split.
pub(super) enum Other<'a> {
    /// The zero-shot model's logits, row by row, `[images, classes]`: each image is looked at once by each model.
    Logits(Vec<f32>),
    /// The weights that training started from: each image is looked at once for each share.
    Weights {
        /// The method, for the classes of the split.
        method: &'a dyn Method,
        /// What training ended with.
        trained: &'a Parameters,
        /// The split's images.
        images: &'a ImageSet<'a>,
    },
}

impl Other<'_> {
    /// Logits of the mixture; `trained` are those of the trained model.
    fn mixed(&self, trained: &[f32], share: f64) -> Vec<f32> {
        match self {
            Self::Logits(zero_shot) => mixture(trained, zero_shot, share),
            Self::Weights { .. } if share == 1.0 => trained.to_vec(),
            Self::Weights { method, trained, images } => {
                let mixed = interpolation(trained, &method.parameters(), share);
                logits_of(*method, &mixed, images)
            }
        }
    }
}

/// Scores of every share, split by split.
pub(super) struct Sweep(Vec<EnsembleScores>);

impl Sweep {
    pub(super) fn new(spec: Option<&EnsembleSpec>) -> Self {
        let shares = spec.into_iter().flat_map(|spec| spec.shares.iter().map(|share| (spec.space, *share)));
        Self(shares.map(|(space, share)| EnsembleScores { space, share, splits: Vec::new() }).collect())
    }

    /// What is mixed; `None` if nothing is.
    pub(super) fn space(&self) -> Option<EnsembleSpace> {
        self.0.first().map(|mixture| mixture.space)
    }

    /// Adds the scores of a split.
    ///
    /// # Shapes
    /// - `trained`: logits, row by row, `[images, classes]`
    ///
    /// # Errors
    /// [`RunError::NonFinite`] for a mixture whose logits are no numbers, or a record that cannot be written.
    pub(super) fn add(
        &mut self,
        split: &TestSplit,
        classes: usize,
        trained: &[f32],
        other: &Other<'_>,
        recorder: &mut Recorder,
    ) -> Result<(), RunError> {
        for EnsembleScores { share, splits, .. } in &mut self.0 {
            let mixed = other.mixed(trained, *share);
            if mixed.iter().any(|logit| !logit.is_finite()) {
                return Err(RunError::NonFinite { split: split.name.clone() });
            }
            let scores = score(&mixed, &split.images.labels, classes);
            recorder.ensemble_score(&split.name, *share, "accuracy", scores.accuracy)?;
            recorder.ensemble_score(
                &split.name,
                *share,
                "mean_class_accuracy",
                scores.mean_class_accuracy,
            )?;
            let (split, images) = (split.name.clone(), split.images.len());
            splits.push(SplitScores { split, images, scores, details: None });
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

/// `share trained + (1 - share) start` of every parameter (`wise_ft` of `src/wise_ft.py`), exactly one of them where the
/// share is 0 or 1.
fn interpolation(trained: &Parameters, start: &Parameters, share: f64) -> Parameters {
    trained.map(|name, leaf| {
        let trained = leaf.value.clone();
        match start.get(name) {
            Some(start) if share == 0.0 => start.value.clone(),
            Some(start) if share < 1.0 => trained * share + start.value.clone() * (1.0 - share),
            _ => trained,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, device, tensor};
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

    fn leaf(values: &[f32]) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.insert("w", tensor(values, &device()), vec![values.len()]);
        parameters
    }

    fn bits(parameters: &Parameters) -> Vec<u32> {
        parameters["w"].value.to_data_as::<f32>().iter::<f32>().map(f32::to_bits).collect()
    }

    proptest! {
        #[test]
        fn the_ends_of_an_interpolation_are_the_models(
            pairs in proptest::collection::vec((number(), number()), 1..20), share in 0.0..=1.0,
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let (trained, start) = (leaf(&a), leaf(&b));
            prop_assert_eq!(bits(&interpolation(&trained, &start, 1.0)), bits(&trained));
            prop_assert_eq!(bits(&interpolation(&trained, &start, 0.0)), bits(&start));
            let mixed = interpolation(&trained, &start, share);
            prop_assert_eq!(&mixed["w"].shape, &trained["w"].shape);
            for (mixed, (a, b)) in mixed["w"].value.to_data_as::<f32>().iter::<f32>().zip(a.iter().zip(&b)) {
                let slack = 1e-6 * a.abs().max(b.abs());
                prop_assert!((a.min(*b) - slack..=a.max(*b) + slack).contains(&mixed));
            }
        }
    }

    /// Numbers of very different sizes, both zeros included.
    fn number() -> impl Strategy<Value = f32> {
        prop_oneof![Just(0f32), Just(-0f32), -1f32..1.0, -1e30f32..1e30]
    }

    #[test]
    fn an_interpolation_by_hand() {
        let mixed = interpolation(&leaf(&[4.0, -2.0]), &leaf(&[0.0, 6.0]), 0.25);
        close(&mixed["w"].value, &[1.0, 4.0], 0.0);
    }

    #[test]
    fn a_mixture_by_hand() {
        assert_eq!(mixture(&[4.0, -2.0], &[0.0, 6.0], 0.25), [1.0, 4.0]);
    }
}
