//! Layer normalisation over the features of each token.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{self, Input, LayerNorm};
use crate::reference;

/// Normalises every token to mean 0 and (biased) variance 1 over its features, then scales and shifts:
/// `(x - mean) / sqrt(variance + eps) * weight + bias` (Ba et al. 2016, equation 4).
///
/// # Shapes
///
/// - `x` and result: `[batch, tokens, width]`
/// - `weight`, `bias`: `[width]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<3> {
    let ([_, _, width], [weights], [biases]) = (x.dims(), weight.dims(), bias.dims());
    assert!(
        width == weights && width == biases,
        "layer_norm: `x` has {width} features, `weight` {weights} and `bias` {biases}"
    );
    #[cfg(feature = "flex")]
    if let (Some(x_input), Some(weight_input), Some(bias_input)) =
        (Input::new(&x), Input::new(&weight), Input::new(&bias))
    {
        drop((x, weight, bias));
        return flex::apply(LayerNorm { eps: eps as f32 }, [x_input, weight_input, bias_input]);
    }
    reference::layer_norm(x, weight, bias, eps)
}
