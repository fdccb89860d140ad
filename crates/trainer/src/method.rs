//! What a fine-tuning method is: what it trains, what it minimises, how its gradients combine, and how
//! it predicts.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable};
use crate::parameters::{LeafGradients, Parameters};

/// The objective of a batch and the parts worth recording.
#[derive(Debug)]
pub struct Objective {
    /// What is minimised, `[1]`.
    pub loss: Tensor<1>,
    /// Named parts, each `[1]`, for the record only.
    pub terms: Vec<(&'static str, Tensor<1>)>,
}

/// Gradients of a step with the values to record.
#[derive(Debug)]
pub struct StepOutcome {
    /// The objective's value.
    pub loss: f64,
    /// Named parts of it.
    pub terms: Vec<(&'static str, f64)>,
    /// What the optimiser receives.
    pub gradients: LeafGradients,
}

impl StepOutcome {
    /// Differentiates an objective of `tracked` parameters once.
    pub fn of(objective: Objective, tracked: &Parameters) -> Self {
        let gradients = tracked.gradients_of(&objective.loss);
        Self {
            loss: objective.loss.into_scalar::<f64>(),
            terms: objective.terms.into_iter().map(|(name, value)| (name, value.into_scalar())).collect(),
            gradients,
        }
    }

    /// The sum with the outcome of another batch. A part or a gradient that only one of them has counts as 0 in the
    /// other.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.loss += other.loss;
        for (name, value) in other.terms {
            match self.terms.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += value,
                None => self.terms.push((name, value)),
            }
        }
        for (name, gradient) in other.gradients {
            let sum = match self.gradients.remove(&name) {
                Some(sum) => sum + gradient,
                None => gradient,
            };
            self.gradients.insert(name, sum);
        }
        self
    }

    /// Every value divided by `count`.
    #[must_use]
    pub fn divided_by(self, count: f64) -> Self {
        Self {
            loss: self.loss / count,
            terms: self.terms.into_iter().map(|(name, value)| (name, value / count)).collect(),
            gradients: self.gradients.into_iter().map(|(name, sum)| (name, sum / count)).collect(),
        }
    }
}

/// Buffers that a method does not keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BufferError {
    /// A name that the method does not know.
    #[error("the method keeps no buffer `{path}`")]
    Unknown {
        /// The name.
        path: String,
    },
    /// Another number of values.
    #[error("the buffer `{path}` has {found} values; the method keeps {expected}")]
    Length {
        /// The name.
        path: String,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
}

/// A fine-tuning method. `parameters` passed to its functions always have the names of
/// [`Method::parameters`].
pub trait Method {
    /// The trainable parameters with their initial values.
    fn parameters(&self) -> Parameters;

    /// Called once before training when images are not augmented, so that a method may compute what is
    /// frozen once per image instead of once per step.
    fn prepare(&mut self, _images: &ImageSet<'_>) {}

    /// The objective of one batch; `parameters` are tracked.
    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective;

    /// Loss and gradients of one batch. The default differentiates [`Method::objective`] once.
    fn step(&self, parameters: &Parameters, batch: &Batch) -> StepOutcome {
        let tracked = parameters.tracked();
        StepOutcome::of(self.objective(&tracked, batch), &tracked)
    }

    /// What trained parameters say of themselves beyond their scores, as named finite numbers for the record: R-MT's
    /// sparsity. Most methods have nothing to say.
    fn facts(&self, _parameters: &Parameters) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Fewest images that a step can learn from. [`train`](crate::training::train) refuses smaller batches; a step on
    /// one may panic.
    fn smallest_batch(&self) -> usize {
        1
    }

    /// What training produces beside the parameters: values that steps move and no optimiser does, such as the
    /// running statistics of batch normalisation, flat, by name. They belong to the last parameters that were trained.
    fn buffers(&self) -> BTreeMap<String, Tensor<1>> {
        BTreeMap::new()
    }

    /// Puts back what [`Method::buffers`] gave, in the place of all that there is.
    ///
    /// # Errors
    /// [`BufferError`] for the first buffer that the method does not keep; nothing is changed then.
    fn restore_buffers(&mut self, buffers: &BTreeMap<String, Tensor<1>>) -> Result<(), BufferError> {
        buffers.keys().next().map_or(Ok(()), |path| Err(BufferError::Unknown { path: path.clone() }))
    }

    /// Whether a parameter belongs to the classifier head, whose learning rate may be multiplied.
    fn is_head(&self, _name: &str) -> bool {
        false
    }

    /// What predictions ask of a parameter, where they only ask whether its values are above a threshold: such as R-MT's
    /// masks, which an adapter file then stores as bits. `None` (the default) where the values themselves matter.
    fn threshold(&self, _name: &str) -> Option<f64> {
        None
    }

    /// The trained model as a plain one with a plain classifier. The default is that there is none.
    ///
    /// # Errors
    /// [`NotMergeable`] with the reason.
    fn merged(&self, _parameters: &Parameters) -> Result<Merged, NotMergeable> {
        Err(NotMergeable::new("the method has no form as a plain model"))
    }

    /// Class logits `[batch, classes]` of normalised pixels `[batch, 3, height, width]`.
    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2>;

    /// [`Method::logits`] of many batches under the same parameters. A method whose classifier is itself computed
    /// from the parameters computes it once here.
    fn predictor<'a>(&'a self, parameters: &'a Parameters) -> Box<dyn Fn(Tensor<4>) -> Tensor<2> + 'a> {
        Box::new(move |pixels| self.logits(parameters, pixels))
    }
}
