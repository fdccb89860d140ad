//! What the transformers of both towers have in common.

use serde::{Deserialize, Serialize};

/// Activation of the MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`: OpenAI's weights.
    QuickGelu,
    /// GELU with the error function: most of open_clip's weights.
    Gelu,
    /// GELU with the tanh approximation.
    GeluTanh,
}

/// Number of parameters of a stack of transformer blocks.
pub(crate) fn blocks(width: usize, layers: usize, mlp: usize) -> u128 {
    let (width, layers, mlp) = (width as u128, layers as u128, mlp as u128);
    layers * (4 * width * width + 4 * width + 2 * width * mlp + mlp + width + 4 * width)
}
