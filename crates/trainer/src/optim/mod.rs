//! Optimisers that take PyTorch's steps, not Burn's.
//!
//! Burn's defaults differ from PyTorch's (momentum dampening, epsilon, decay), and a published run can
//! only be reproduced with the update rule that produced it. Each rule is one short function over flat
//! tensors; state is kept per parameter, because a parameter that a loss does not reach must neither
//! move nor age.

mod adam;
mod norm;
mod sgd;

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use norm::clip_global_norm;

use crate::parameters::{LeafGradients, Parameters};

/// The update rule and its constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// `torch.optim.SGD` (no dampening): `b = momentum b + g + wd p; p -= lr b`.
    Sgd {
        /// Momentum; 0 for plain gradient descent.
        #[serde(default)]
        momentum: f64,
        /// Nesterov's: `p -= lr (g + wd p + momentum b)` with the new `b` (default: no).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        nesterov: bool,
    },
    /// `torch.optim.Adam`: the decay is added to the gradient.
    Adam(Moments),
    /// `torch.optim.AdamW`: the decay shrinks the parameter before the update.
    AdamW(Moments),
    /// `transformers.AdamW` of old releases, which ProReg uses: epsilon outside the bias correction,
    /// decay applied to the updated parameter.
    HfAdamW(Moments),
}

/// Constants of the Adam family.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// Decay of the first moment (default 0.9).
    #[serde(default = "default_beta1")]
    pub beta1: f64,
    /// Decay of the second moment (default 0.999).
    #[serde(default = "default_beta2")]
    pub beta2: f64,
    /// Added to the root of the second moment (default 1e-8).
    #[serde(default = "default_epsilon")]
    pub epsilon: f64,
}

fn default_beta1() -> f64 {
    0.9
}
fn default_beta2() -> f64 {
    0.999
}
fn default_epsilon() -> f64 {
    1e-8
}

impl Default for Moments {
    fn default() -> Self {
        Self { beta1: default_beta1(), beta2: default_beta2(), epsilon: default_epsilon() }
    }
}

/// What the optimiser remembers of one parameter.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Updates so far (Adam's `step`).
    pub steps: u32,
    /// Momentum buffer, or first moment, flat.
    pub first: Tensor<1>,
    /// Second moment, flat; absent for SGD.
    pub second: Option<Tensor<1>>,
}

/// How one parameter is moved at one step.
#[derive(Debug, Clone, Copy)]
pub struct Pace<'a> {
    /// The update rule.
    pub rule: &'a Rule,
    /// Learning rate.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// One update of one parameter.
struct Update {
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    learning_rate: f64,
    weight_decay: f64,
}

/// An update that the pass in place did not take, with what came before it.
type Untaken = (Update, Option<Memory>);

/// What an optimiser remembers of all parameters.
#[derive(Debug, Default)]
pub struct Optimiser {
    memory: BTreeMap<String, Memory>,
}

impl Optimiser {
    /// An optimiser that goes on with what another has remembered.
    pub fn with_memory(memory: BTreeMap<String, Memory>) -> Self {
        Self { memory }
    }

    /// What is remembered, by parameter.
    pub fn memory(&self) -> &BTreeMap<String, Memory> {
        &self.memory
    }

    /// Moves every parameter that has a gradient, each in the way that `pace(name)` gives.
    pub fn step<'a>(
        &mut self,
        parameters: &Parameters,
        mut gradients: LeafGradients,
        pace: impl Fn(&str) -> Pace<'a>,
    ) -> Parameters {
        parameters.map(|name, leaf| {
            let Some(gradient) = gradients.remove(name) else { return leaf.value.clone() };
            let Pace { rule, learning_rate, weight_decay } = pace(name);
            let update = Update { parameter: leaf.value.clone(), gradient, learning_rate, weight_decay };
            let past = self.memory.remove(name);
            let (value, memory) = match rule {
                Rule::Sgd { momentum, nesterov } => sgd::step(update, *momentum, *nesterov, past),
                Rule::Adam(moments) => adam::step(update, moments, adam::Variant::Adam, past),
                Rule::AdamW(moments) => adam::step(update, moments, adam::Variant::AdamW, past),
                Rule::HfAdamW(moments) => adam::step(update, moments, adam::Variant::HfAdamW, past),
            };
            self.memory.insert(name.to_owned(), memory);
            value
        })
    }
}
