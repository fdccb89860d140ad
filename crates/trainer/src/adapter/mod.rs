//! What training leaves behind: a small safetensors file with the trained parameters and buffers, and in its metadata
//! everything needed to use them. The reader trusts nothing in it.

mod bits;
mod card;
mod error;
mod mean;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;

use burn::tensor::Tensor;

pub use card::{Activations, AdapterCard, FORMAT};
pub use error::{AdapterError, Fault};
pub use mean::MeanError;

use crate::method::Method;
use crate::parameters::Parameters;

/// The metadata entry with the card.
const ENTRY: &str = "regulus";

/// Trained values and what a user of them has to know.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// What they are.
    pub card: AdapterCard,
    /// The trained parameters.
    pub parameters: Parameters,
    /// What training moved beside them; see [`Method::buffers`].
    pub buffers: BTreeMap<String, Tensor<1>>,
    /// Parameters of which only counts whether a value is above this, by name; see [`Method::threshold`]. A file holds
    /// one bit for each of their values.
    pub thresholds: BTreeMap<String, f64>,
}

impl Adapter {
    /// The trained values of a method.
    pub fn new(card: AdapterCard, method: &dyn Method, parameters: Parameters) -> Self {
        let thresholds =
            parameters.iter().filter_map(|(name, _)| Some((name.clone(), method.threshold(name)?)));
        let thresholds = thresholds.collect();
        Self { card, parameters, buffers: method.buffers(), thresholds }
    }
}
