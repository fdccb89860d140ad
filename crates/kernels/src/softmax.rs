//! The logarithm of the softmax, which cross-entropies and Kullback-Leibler divergences are made of.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{self, Input, LogSoftmax};
use crate::reference;

/// `log softmax(x)` over the last dimension: `x - max(x) - log Σ exp(x - max(x))`.
///
/// # Shapes
///
/// - `x` and result: `[.., classes]`
pub fn log_softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(input) = Input::new(&x) {
        drop(x);
        return flex::apply(LogSoftmax, [input]);
    }
    reference::log_softmax(x)
}
