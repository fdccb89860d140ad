//! Weights of which a binary mask keeps some: the operation of mask tuning, in one pass each way.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{self, Input, Masked};
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
