//! A step over more classes than the graphs of their texts have room for.
//!
//! Text features of all classes enter the objective, so that their graphs would all have to be there when it is
//! differentiated. Here the features are computed without a graph first and the objective is differentiated down to
//! them. Then the texts of some classes at a time are computed again, with a graph, and take the rest of the way. What is
//! minimised and its gradients are the same; a forward pass of the texts more is the price.

use std::ops::Range;

use burn::tensor::Tensor;

use crate::method::{Objective, StepOutcome};
use crate::parameters::{LeafGradients, Parameters};
use crate::zero_shot::FROZEN_TEXTS;

/// `0..classes` in parts of `at_once`.
pub(super) fn parts(classes: usize, at_once: usize) -> impl Iterator<Item = Range<usize>> {
    let at_once = at_once.max(1);
    (0..classes).step_by(at_once).map(move |first| first..classes.min(first.saturating_add(at_once)))
}

/// The features of all classes, some at a time, `[classes, embed]`.
pub(super) fn features(
    classes: usize,
    at_once: usize,
    texts: impl Fn(Range<usize>) -> Tensor<2>,
) -> Tensor<2> {
    Tensor::cat(parts(classes, at_once).map(texts).collect(), 0)
}

/// Loss and gradients of `objective`, which is given tracked parameters and text features. `texts` computes the features
/// of some classes, `[part, embed]`.
pub(super) fn step(
    parameters: &Parameters,
    classes: usize,
    at_once: usize,
    texts: impl Fn(&Parameters, Range<usize>) -> Tensor<2>,
    objective: impl FnOnce(&Parameters, Tensor<2>) -> Objective,
) -> StepOutcome {
    let known = features(classes, at_once.min(FROZEN_TEXTS), |part| texts(parameters, part));
    let [_, embed] = known.dims();
    // As one more leaf, the features get their gradient with those of the parameters.
    const FEATURES: &str = "features of the class texts";
    let mut leaves = Parameters::default();
    leaves.insert(FEATURES, known.reshape([classes * embed]), vec![classes, embed]);
    let leaves = leaves.with(parameters).tracked();
    let objective = objective(&leaves, leaves[FEATURES].tensor());
    let mut outcome = StepOutcome::of(objective, &leaves);
    let Some(cotangent) = outcome.gradients.remove(FEATURES) else { return outcome };
    let cotangent: Tensor<2> = cotangent.reshape([classes, embed]);
    for part in parts(classes, at_once) {
        let tracked = parameters.tracked();
        let weights = cotangent.clone().narrow(0, part.start, part.len());
        let product = (texts(&tracked, part) * weights).sum_dim(1).sum();
        add(&mut outcome.gradients, tracked.gradients_of(&product));
    }
    outcome
}

fn add(sum: &mut LeafGradients, more: LeafGradients) {
    for (name, gradient) in more {
        let gradient = match sum.remove(&name) {
            Some(sum) => sum + gradient,
            None => gradient,
        };
        sum.insert(name, gradient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_classes_once() {
        let of = |classes, at_once| parts(classes, at_once).collect::<Vec<_>>();
        assert_eq!(of(7, 3), [0..3, 3..6, 6..7]);
        assert_eq!(of(2, 0), [0..1, 1..2]);
        assert_eq!(of(2, usize::MAX).len(), 1);
        assert!(of(0, 3).is_empty());
    }
}
