//! Everything that changes from step to step of a training: with it, a training that was cut off goes on as if nothing
//! had happened. Random numbers need no state, because every stream is keyed by epoch, step and image.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::optim::Memory;
use crate::parameters::Parameters;
use crate::selection::Selected;

/// The state after a number of optimiser steps.
#[derive(Debug, Clone)]
pub struct TrainingState {
    /// Optimiser steps taken.
    pub done: usize,
    /// The trained parameters.
    pub parameters: Parameters,
    /// What the optimiser remembers, by parameter.
    pub memory: BTreeMap<String, Memory>,
    /// The running aggregate over epochs, where there is one.
    pub aggregate: Option<AggregateState>,
    /// What steps move beside the parameters: [`Method::buffers`](crate::method::Method::buffers).
    pub buffers: BTreeMap<String, Tensor<1>>,
    /// The best epoch so far, where validation images choose.
    pub selected: Option<Selected>,
}

/// A weighted sum over the epochs so far.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateState {
    /// Epochs added.
    pub added: usize,
    /// Their weighted sum, over all parameters in order of their names.
    pub sum: Vec<f64>,
}

/// A state that belongs to another training.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the saved state does not fit the method: {reason}")]
pub struct StateError {
    /// What does not fit.
    pub reason: String,
}

impl TrainingState {
    /// Whether the state has exactly the parameters that the method starts from.
    ///
    /// # Errors
    /// [`StateError`] with the first name or shape that differs.
    pub fn check(&self, start: &Parameters) -> Result<(), StateError> {
        let differs = |reason: String| Err(StateError { reason });
        for (name, leaf) in start.iter() {
            match self.parameters.get(name) {
                None => return differs(format!("`{name}` is missing")),
                Some(saved) if saved.shape != leaf.shape => {
                    return differs(format!("`{name}` is {:?}, expected {:?}", saved.shape, leaf.shape));
                }
                Some(_) => {}
            }
        }
        let known = |name: &String| start.get(name).is_some();
        match self.parameters.iter().map(|(name, _)| name).chain(self.memory.keys()).find(|name| !known(name))
        {
            Some(name) => differs(format!("`{name}` is not trained")),
            None => Ok(()),
        }
    }
}
