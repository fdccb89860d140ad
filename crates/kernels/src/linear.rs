//! Linear layers with weights in PyTorch's layout, so that loaded weights need no transposed copy.

use burn::tensor::Tensor;

use crate::Gelu;
#[cfg(feature = "flex")]
use crate::flex::{self, Input, Linear, LinearGelu};
#[cfg(feature = "flex")]
use crate::products;
use crate::reference;

/// Applies `x weightᵀ + bias` to every token.
///
/// # Shapes
///
/// - `x`: `[batch, tokens, in]`
/// - `weight`: `[out, in]`, as PyTorch's `nn.Linear` stores it
/// - `bias`: `[out]`
/// - result: `[batch, tokens, out]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let ([_, _, width], [out, weight_in]) = (x.dims(), weight.dims());
    assert_eq!(width, weight_in, "linear: `x` has {width} features, `weight` takes {weight_in}");
    if let Some([length]) = bias.as_ref().map(Tensor::dims) {
        assert_eq!(length, out, "linear: `weight` yields {out} features, `bias` has {length}");
    }
    #[cfg(feature = "flex")]
    if let (Some(x_input), Some(weight_input)) = (Input::new(&x), Input::new(&weight)) {
        let operation = Linear { precision: products::precision() };
        match bias.as_ref().map(Input::new) {
            None => {
                drop((x, weight));
                return flex::apply(operation, [x_input, weight_input]);
            }
            Some(Some(bias_input)) => {
                drop((x, weight, bias));
                return flex::apply(operation, [x_input, weight_input, bias_input]);
            }
            Some(None) => {}
        }
    }
    reference::linear(x, weight, bias)
}

/// `residual + x weightᵀ + bias`: a linear layer and the residual sum behind it in one pass.
///
/// # Shapes
///
/// - `residual` and result: `[batch, tokens, out]`
/// - `x`, `weight`, `bias`: as [`linear`] has them
///
/// # Panics
///
/// If the shapes do not agree.
pub fn add_linear(residual: Tensor<3>, x: Tensor<3>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<3> {
    let ([batch, tokens, width], [out, weight_in], [length]) = (x.dims(), weight.dims(), bias.dims());
    assert!(
        width == weight_in && out == length && residual.dims() == [batch, tokens, out],
        "add_linear: {:?} and `x` of {width} features, `weight` takes {weight_in} and yields {out}, `bias` has {length}",
        residual.dims()
    );
    #[cfg(feature = "flex")]
    if let (Some(x_input), Some(weight_input), Some(bias_input), Some(residual_input)) =
        (Input::new(&x), Input::new(&weight), Input::new(&bias), Input::new(&residual))
    {
        drop((x, weight, bias, residual));
        let operation = Linear { precision: products::precision() };
        return flex::apply(operation, [x_input, weight_input, bias_input, residual_input]);
    }
    reference::add_linear(residual, x, weight, bias)
}

/// `gelu(x weightᵀ + bias)`: a linear layer and the activation behind it in one pass.
///
/// # Shapes
///
/// As [`linear`] has them.
///
/// # Panics
///
/// If the shapes do not agree.
pub fn linear_gelu(x: Tensor<3>, weight: Tensor<2>, bias: Tensor<1>, gelu: Gelu) -> Tensor<3> {
    let ([_, _, width], [out, weight_in], [length]) = (x.dims(), weight.dims(), bias.dims());
    assert!(
        width == weight_in && out == length,
        "linear_gelu: `x` has {width} features, `weight` takes {weight_in} and yields {out}, `bias` has {length}"
    );
    #[cfg(feature = "flex")]
    if let (Some(x_input), Some(weight_input), Some(bias_input)) =
        (Input::new(&x), Input::new(&weight), Input::new(&bias))
    {
        drop((x, weight, bias));
        let operation = LinearGelu { precision: products::precision(), activation: gelu.activation() };
        return flex::apply(operation, [x_input, weight_input, bias_input]);
    }
    reference::linear_gelu(x, weight, bias, gelu)
}
