//! The linear probe's exact optimum by L-BFGS, in f64 on the host: CLIP's linear-probe protocol.

use argmin::core::{CostFunction, Error, Executor, Gradient, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
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
    /// The solver gave up.
    #[error("L-BFGS failed on the linear probe (C = {c}): {reason}; try a smaller C")]
    Solver {
        /// Inverse regularisation strength.
        c: f64,
        /// The solver's words.
        reason: String,
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

/// Images per parallel piece. Fixed, so that sums do not depend on the number of threads.
const PIECE: usize = 256;
/// Corrections that L-BFGS remembers.
const MEMORY: usize = 10;
/// Enough for badly conditioned problems (C = 1e6); well-posed ones stop after tens of iterations.
const MAX_ITERATIONS: u64 = 20_000;

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

impl CostFunction for Problem<'_> {
    type Param = Vec<f64>;
    type Output = f64;
    fn cost(&self, parameters: &Vec<f64>) -> Result<f64, Error> {
        Ok(self.evaluate(parameters).0)
    }
}

impl Gradient for Problem<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;
    fn gradient(&self, parameters: &Vec<f64>) -> Result<Vec<f64>, Error> {
        Ok(self.evaluate(parameters).1)
    }
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
    let failed = |reason: Error| ProbeError::Solver { c, reason: reason.to_string() };
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY)
        .with_tolerance_grad(1e-12)
        .and_then(|solver| solver.with_tolerance_cost(0.0))
        .map_err(failed)?;
    let start = vec![0.0; (width + 1) * classes];
    let result = Executor::new(problem, solver)
        .configure(|state| state.param(start).max_iters(MAX_ITERATIONS))
        .run()
        .map_err(failed)?;
    let state = result.state();
    let Some(best) = state.get_best_param() else {
        return Err(ProbeError::Solver { c, reason: "no iterate was accepted".into() });
    };
    let (weight, bias) = best.split_at(width * classes);
    Ok(LogisticRegression {
        weight: weight.to_vec(),
        bias: bias.to_vec(),
        objective: state.get_best_cost() * scale,
    })
}
