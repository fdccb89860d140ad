//! What prompt parameters start from.

use burn::tensor::Device;
use regulus_images::random::Stream;
use serde::{Deserialize, Serialize};

use super::PromptError;
use crate::parameters::Parameters;

/// Standard deviation of random prompt vectors, as published by all prompt learners here.
const STD: f64 = 0.02;

/// What the context vectors of the text start from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContextStart {
    /// The words whose place they take.
    #[default]
    Words,
    /// A normal distribution with standard deviation 0.02.
    Random,
}

/// Adds the leaf `name` with values from a normal distribution with standard deviation 0.02.
pub(super) fn add_random(
    parameters: &mut Parameters,
    name: &str,
    shape: Vec<usize>,
    seed: u64,
    device: &Device,
) {
    let mut stream = Stream::new(seed, &format!("init/{name}"), 0, 0);
    let count: usize = shape.iter().product();
    let values = (0..count).map(|_| (STD * stream.normal()) as f32).collect();
    parameters.insert_values(name, values, shape, device);
}

/// `given`, if it has the names and shapes of `own`.
pub(super) fn checked(own: &Parameters, given: Parameters) -> Result<Parameters, PromptError> {
    let shape = |parameters: &Parameters, name: &str| {
        parameters.get(name).map_or_else(|| "missing".into(), |leaf| format!("of shape {:?}", leaf.shape))
    };
    for (name, _) in own.iter().chain(given.iter()) {
        let (found, expected) = (shape(&given, name), shape(own, name));
        if found != expected {
            return Err(PromptError::Start { name: name.clone(), found, expected });
        }
    }
    Ok(given)
}
