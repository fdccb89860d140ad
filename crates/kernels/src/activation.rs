//! The three GELU variants of CLIP-like models.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{self, Activation, Input};
use crate::reference;

/// A variant of GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gelu {
    /// [`quick_gelu`]
    Quick,
    /// [`gelu_erf`]
    Erf,
    /// [`gelu_tanh`]
    Tanh,
}

impl Gelu {
    /// Applies it elementwise.
    pub fn apply(self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Quick => quick_gelu(x),
            Self::Erf => gelu_erf(x),
            Self::Tanh => gelu_tanh(x),
        }
    }

    #[cfg(feature = "flex")]
    pub(crate) fn activation(self) -> Activation {
        match self {
            Self::Quick => Activation::QuickGelu,
            Self::Erf => Activation::GeluErf,
            Self::Tanh => Activation::GeluTanh,
        }
    }
}

/// `x σ(1.702 x)`, elementwise: the activation of OpenAI's CLIP models (`QuickGELU` in `clip/model.py`), the
/// sigmoid approximation of GELU (Hendrycks and Gimpel 2016, section 2).
pub fn quick_gelu(x: Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if let Some(input) = Input::new(&x) {
        drop(x);
        return flex::apply(Activation::QuickGelu, [input]);
    }
    reference::quick_gelu(x)
}

/// `x Φ(x)` with the normal distribution function `Φ(x) = (1 + erf(x/√2)) / 2`, elementwise: exact GELU
/// (Hendrycks and Gimpel 2016, equation 1), PyTorch's `nn.GELU()`.
pub fn gelu_erf(x: Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if let Some(input) = Input::new(&x) {
        drop(x);
        return flex::apply(Activation::GeluErf, [input]);
    }
    reference::gelu_erf(x)
}

/// `x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`, elementwise: the tanh approximation of GELU (Hendrycks and
/// Gimpel 2016, section 2), PyTorch's `nn.GELU(approximate="tanh")`.
pub fn gelu_tanh(x: Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if let Some(input) = Input::new(&x) {
        drop(x);
        return flex::apply(Activation::GeluTanh, [input]);
    }
    reference::gelu_tanh(x)
}
