//! The linear probe's exact optimum by L-BFGS, in f64 on the host: CLIP's linear-probe protocol.
//!
//! Our own few lines, because the line searches of `argmin` 0.11 do not end on this problem once double
//! precision is exhausted: a run without end is worse than a last digit.

use std::collections::VecDeque;

use rayon::prelude::*;

/// Why no optimum was found.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Features and labels do not describe the same images.
    #[error("{labels} labels for features of length {features}, which is no multiple of it")]
    Shape {
        /// Number of labels.
        labels: usize,
        /// Number of feature values.
        features: usize,
    },
    /// A label is not a class.
    #[error("label {label} is outside the {classes} classes")]
    Label {
        /// The label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Features or labels lead to values that are no numbers.
    #[error("the objective of the linear probe is {value} at its start (C = {c}); are all features finite?")]
    NotFinite {
        /// Inverse regularisation strength.
        c: f64,
        /// The objective.
        value: f64,
    },
}

/// A fitted multinomial logistic regression.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticRegression {
    /// `[classes, features]`, row by row.
    pub weight: Vec<f64>,
    /// `[classes]`.
    pub bias: Vec<f64>,
    /// `C sum CE + 1/2 ||W||^2` at the optimum.
    pub objective: f64,
}

impl LogisticRegression {
    /// Class logits `[classes]` of one feature `[features]`.
    pub fn logits(&self, feature: &[f64]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(feature.len().max(1));
        rows.zip(&self.bias).map(|(row, bias)| (dot(row, feature) + bias) as f32).collect()
    }
}

/// Images per parallel piece. Fixed, so that sums do not depend on the number of threads.
const PIECE: usize = 256;
/// Corrections that L-BFGS remembers.
const MEMORY: usize = 30;
/// Enough for badly conditioned problems (C = 1e6); well-posed ones stop after tens of iterations.
const MAX_ITERATIONS: usize = 20_000;
/// Largest gradient entry of the scaled problem at which it counts as solved.
const SOLVED: f64 = 1e-12;
/// Halvings of a step before the end of double precision is admitted.
const MAX_HALVINGS: usize = 40;
/// Share of the promised decrease that a step has to reach (Armijo).
const ENOUGH: f64 = 1e-4;

/// The problem `C sum_i CE_i + 1/2 ||W||^2`, biases unpenalised (scikit-learn's `LogisticRegression`). It is
/// divided by `C n` for the solver, so that gradients keep one magnitude for every `C`.
struct Problem<'a> {
    features: &'a [f64],
    labels: &'a [usize],
    width: usize,
    classes: usize,
    penalty: f64,
}

impl Problem<'_> {
    /// Mean cross-entropy plus penalty, and its gradient; parameters are `W` row by row, then `b`.
    fn evaluate(&self, parameters: &[f64]) -> (f64, Vec<f64>) {
        let (width, classes) = (self.width, self.classes);
        let (weight, bias) = parameters.split_at(width * classes);
        let pieces: Vec<(f64, Vec<f64>)> = self
            .labels
            .par_chunks(PIECE)
            .zip(self.features.par_chunks(PIECE * width))
            .map(|(labels, features)| self.evaluate_piece(weight, bias, labels, features))
            .collect();
        let scale = 1.0 / self.labels.len() as f64;
        let mut cost = 0.0;
        let mut gradient = vec![0.0; parameters.len()];
        for (piece_cost, piece_gradient) in pieces {
            cost += piece_cost * scale;
            gradient.iter_mut().zip(piece_gradient).for_each(|(sum, value)| *sum += value * scale);
        }
        cost += 0.5 * self.penalty * weight.iter().map(|w| w * w).sum::<f64>();
        gradient.iter_mut().zip(weight).for_each(|(sum, w)| *sum += self.penalty * w);
        (cost, gradient)
    }

    fn evaluate_piece(
        &self,
        weight: &[f64],
        bias: &[f64],
        labels: &[usize],
        features: &[f64],
    ) -> (f64, Vec<f64>) {
        let (width, classes) = (self.width, self.classes);
        let mut cost = 0.0;
        let mut gradient = vec![0.0; (width + 1) * classes];
        let mut logits = vec![0.0; classes];
        for (&label, x) in labels.iter().zip(features.chunks_exact(width)) {
            for (class, logit) in logits.iter_mut().enumerate() {
                let row = &weight[class * width..(class + 1) * width];
                *logit = bias[class] + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
            }
            let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
            cost += largest + total.ln() - logits[label];
            for (class, logit) in logits.iter().enumerate() {
                let error = (logit - largest).exp() / total - f64::from(u8::from(class == label));
                let row = &mut gradient[class * width..(class + 1) * width];
                row.iter_mut().zip(x).for_each(|(sum, x)| *sum += error * x);
                gradient[width * classes + class] += error;
            }
        }
        (cost, gradient)
    }
}

/// The last steps `s` and gradient changes `y`, which stand for the inverse Hessian.
#[derive(Default)]
struct Curvature {
    pairs: VecDeque<(Vec<f64>, Vec<f64>)>,
}

impl Curvature {
    /// Remembers a step if the function curves upwards along it.
    fn learn(&mut self, step: Vec<f64>, change: Vec<f64>) {
        if dot(&step, &change) > 1e-300 {
            self.pairs.push_back((step, change));
            if self.pairs.len() > MEMORY {
                self.pairs.pop_front();
            }
        }
    }

    /// The quasi-Newton direction `-H g` by the two-loop recursion (Nocedal and Wright, algorithm 7.4).
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for (s, y) in self.pairs.iter().rev() {
            let share = dot(s, &q) / dot(s, y);
            add(&mut q, -share, y);
            shares.push(share);
        }
        let scale = match self.pairs.back() {
            Some((s, y)) => dot(s, y) / dot(y, y),
            None => 1.0 / dot(gradient, gradient).sqrt().max(1.0),
        };
        q.iter_mut().for_each(|value| *value *= scale);
        for ((s, y), share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let rest = share - dot(y, &q) / dot(s, y);
            add(&mut q, rest, s);
        }
        q
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `target += factor * other`.
fn add(target: &mut [f64], factor: f64, other: &[f64]) {
    target.iter_mut().zip(other).for_each(|(sum, value)| *sum += factor * value);
}

/// The parameters of least cost and that cost. Every loop is bounded, and a step is only taken if the cost
/// falls, so that the search ends at the limit of double precision instead of circling there.
fn minimise(problem: &Problem<'_>, start: Vec<f64>) -> (Vec<f64>, f64) {
    let mut parameters = start;
    let (mut cost, mut gradient) = problem.evaluate(&parameters);
    let mut curvature = Curvature::default();
    for _ in 0..MAX_ITERATIONS {
        if gradient.iter().all(|entry| entry.abs() <= SOLVED) {
            break;
        }
        let direction = curvature.direction(&gradient);
        let slope = dot(&gradient, &direction);
        let mut length = 1.0;
        let better = (0..MAX_HALVINGS).find_map(|_| {
            let mut candidate = parameters.clone();
            add(&mut candidate, length, &direction);
            let (value, slopes) = problem.evaluate(&candidate);
            let taken = value < cost && value <= cost + ENOUGH * length * slope;
            length *= 0.5;
            taken.then_some((candidate, value, slopes))
        });
        match better {
            Some((candidate, value, slopes)) => {
                let step = candidate.iter().zip(&parameters).map(|(new, old)| new - old).collect();
                let change = slopes.iter().zip(&gradient).map(|(new, old)| new - old).collect();
                curvature.learn(step, change);
                (parameters, cost, gradient) = (candidate, value, slopes);
            }
            // Old curvature may be what misleads: once more along the gradient alone before giving up.
            None if curvature.pairs.is_empty() => break,
            None => curvature = Curvature::default(),
        }
    }
    (parameters, cost)
}

/// Minimises `C sum_i CE_i + 1/2 ||W||^2` over weights and biases (CLIP's linear probe; the objective of
/// scikit-learn's `LogisticRegression(solver="lbfgs", C=c)`).
///
/// `features` is `[images, width]` row by row, `labels` are class indices below `classes`.
pub fn fit_logistic_regression(
    features: &[f64],
    labels: &[usize],
    classes: usize,
    c: f64,
) -> Result<LogisticRegression, ProbeError> {
    let width = features.len().checked_div(labels.len()).unwrap_or(0);
    if labels.is_empty() || width * labels.len() != features.len() {
        return Err(ProbeError::Shape { labels: labels.len(), features: features.len() });
    }
    if let Some(&label) = labels.iter().find(|&&label| label >= classes) {
        return Err(ProbeError::Label { label, classes });
    }
    let scale = c * labels.len() as f64;
    let problem = Problem { features, labels, width, classes, penalty: 1.0 / scale };
    let start = vec![0.0; (width + 1) * classes];
    let (value, _) = problem.evaluate(&start);
    if !value.is_finite() {
        return Err(ProbeError::NotFinite { c, value });
    }
    let (parameters, cost) = minimise(&problem, start);
    let (weight, bias) = parameters.split_at(width * classes);
    Ok(LogisticRegression { weight: weight.to_vec(), bias: bias.to_vec(), objective: cost * scale })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn faults_of_the_input_are_told() {
        let fit = |features: &[f64], labels: &[usize]| fit_logistic_regression(features, labels, 2, 1.0);
        assert!(matches!(fit(&[], &[]), Err(ProbeError::Shape { .. })));
        assert!(matches!(fit(&[1.0, 2.0, 3.0], &[0, 1]), Err(ProbeError::Shape { .. })));
        assert!(matches!(fit(&[1.0, 2.0], &[0, 2]), Err(ProbeError::Label { label: 2, classes: 2 })));
        assert!(matches!(fit(&[f64::NAN, 2.0], &[0, 1]), Err(ProbeError::NotFinite { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn no_step_would_lower_the_optimum_visibly(
            values in prop::collection::vec(-1.0f64..1.0, 60), labels in prop::collection::vec(0usize..3, 20),
            exponent in -4i32..5,
        ) {
            let c = 10f64.powi(exponent);
            let fit = fit_logistic_regression(&values, &labels, 4, c).unwrap();
            let scale = c * labels.len() as f64;
            let problem =
                Problem { features: &values, labels: &labels, width: 3, classes: 4, penalty: 1.0 / scale };
            let parameters: Vec<f64> = fit.weight.iter().chain(&fit.bias).copied().collect();
            let (_, gradient) = problem.evaluate(&parameters);
            // A step along the gradient would lower the cost by about gradient^2 / curvature. Below this the change
            // is lost in double precision, which is where the search ends.
            let curvature = 1.0 + problem.penalty;
            let gain = dot(&gradient, &gradient) / curvature;
            prop_assert!(gain < 1e-13, "{gain:e} left, {gradient:?}");
        }
    }
}
