//! Weights of which a binary mask keeps some: the operation of mask tuning, in one pass each way, and linear layers that
//! apply it as part of their product.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{self, Input, Masked, MaskedLinear};
#[cfg(feature = "flex")]
use crate::products;
use crate::reference;

/// `[mask > threshold] weight`, whose gradient reaches the mask as if the step were the identity, `g weight`, also where
/// the weight is off (straight-through estimator; Zheng et al. 2023, `modules/masklayers.py`). The gradient of the
/// weight is `g [mask > threshold]`.
///
/// # Shapes
///
/// - `weight`, `mask`, result: `[n]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn masked_weight(weight: Tensor<1>, mask: Tensor<1>, threshold: f64) -> Tensor<1> {
    assert_eq!(weight.dims(), mask.dims(), "weight and mask of different shapes");
    #[cfg(feature = "flex")]
    if let (Some(weight_input), Some(mask_input)) = (Input::new(&weight), Input::new(&mask)) {
        drop((weight, mask));
        return flex::apply(Masked { threshold: threshold as f32 }, [weight_input, mask_input]);
    }
    reference::masked_weight(weight, mask, threshold)
}

/// A weight and the mask that says which of its entries count.
#[derive(Debug, Clone)]
pub struct MaskedWeight {
    /// `[out, in]`
    pub weight: Tensor<2>,
    /// `[out, in]`
    pub mask: Tensor<2>,
    /// An entry counts where its mask is above this.
    pub threshold: f64,
}

/// `x ([mask > threshold] weight)ᵀ + bias`, plus `residual` if there is one. Gradients are those of [`masked_weight`].
///
/// # Shapes
///
/// - `x`: `[batch, tokens, in]`
/// - `bias`: `[out]`
/// - `residual` and result: `[batch, tokens, out]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn masked_linear(
    x: Tensor<3>,
    masked: MaskedWeight,
    bias: Tensor<1>,
    residual: Option<Tensor<3>>,
) -> Tensor<3> {
    let ([batch, tokens, width], [out, weight_in]) = (x.dims(), masked.weight.dims());
    assert!(
        width == weight_in && masked.mask.dims() == [out, weight_in] && bias.dims() == [out],
        "masked_linear: `x` has {width} features, `weight` is {:?}, `mask` {:?}, `bias` {:?}",
        masked.weight.dims(),
        masked.mask.dims(),
        bias.dims()
    );
    if let Some(residual) = &residual {
        assert_eq!(residual.dims(), [batch, tokens, out], "masked_linear: `residual` and result");
    }
    #[cfg(feature = "flex")]
    {
        let inputs =
            [Input::new(&x), Input::new(&masked.weight), Input::new(&masked.mask), Input::new(&bias)];
        if let [Some(x_input), Some(weight), Some(mask), Some(bias_input)] = inputs {
            let operation =
                MaskedLinear { precision: products::precision(), threshold: masked.threshold as f32 };
            match residual.as_ref().map(Input::new) {
                None => {
                    drop((x, masked, bias));
                    return flex::apply(operation, [x_input, weight, mask, bias_input]);
                }
                Some(Some(residual_input)) => {
                    drop((x, masked, bias, residual));
                    return flex::apply(operation, [x_input, weight, mask, bias_input, residual_input]);
                }
                Some(None) => {}
            }
        }
    }
    reference::masked_linear(x, masked, bias, residual)
}
