//! R-MT: binary masks on frozen weights, learnt through real-valued ones.
//!
//! Zheng et al., "Regularized Mask Tuning: Uncovering Hidden Knowledge in Pre-trained Vision-Language
//! Models", ICCV 2023. A weight is kept where its mask exceeds a threshold (published: 5e-3, all masks start
//! at 1e-2). The step has no slope, so gradients pass as if it were the identity.

use std::ops::Add;

use burn::tensor::{FloatDType, Tensor};

use crate::norm::norm;

/// `[mask > threshold]`, exactly 0 or 1, whose gradient reaches the mask unchanged (straight-through
/// estimator; Zheng et al. 2023; `Binarizer` in `modules/masklayers.py`). An entry at the threshold is off.
///
/// The value is exact because what carries the gradient, `mask - detached mask`, is 0 before it is added.
/// The threshold is compared in the mask's own precision. An infinite or undefined mask gives an undefined
/// value.
///
/// # Shapes
///
/// - `mask`, result: any, the same
pub fn binarise<const D: usize>(mask: Tensor<D>, threshold: f64) -> Tensor<D> {
    let on = mask.clone().greater_elem(threshold).cast(FloatDType::from(mask.dtype()));
    on + (mask.clone() - mask.detach())
}

/// `W' = [mask > threshold] W`, exactly `W` or 0; the gradient of the mask is `∂L/∂W' · W`, elementwise, also
/// where the weight is off (Zheng et al. 2023; `modules/masklayers.py`).
///
/// # Shapes
///
/// - `weight`, `mask`, result: any, the same
///
/// # Panics
///
/// If the shapes do not agree.
pub fn masked_weight<const D: usize>(weight: Tensor<D>, mask: Tensor<D>, threshold: f64) -> Tensor<D> {
    assert_eq!(weight.dims(), mask.dims(), "weight and mask of different shapes");
    let shape = weight.shape();
    let flat = |values: Tensor<D>| -> Tensor<1> {
        let count = values.shape().num_elements();
        values.reshape([count])
    };
    regulus_kernels::masked_weight(flat(weight), flat(mask), threshold).reshape(shape)
}

/// `weight Σ_k ‖m_k‖` over the real-valued masks: the plain, not the squared, L2 norm of each tensor
/// (`RegLoss` in `loss/reg_loss.py` with order 2; published factor: 1e-4), summed in the given order; `None`
/// without masks. Where a whole mask is zero its gradient is zero.
///
/// # Shapes
///
/// - each mask: flattened, `[n]`
/// - result: `[1]`
pub fn mask_regulariser(masks: impl IntoIterator<Item = Tensor<1>>, weight: f64) -> Option<Tensor<1>> {
    masks.into_iter().map(norm).reduce(|sum, norm| sum + norm).map(|sum| sum * weight)
}

/// How many entries the masks switch off. Counts of several tensors add.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sparsity {
    /// Entries that are off.
    pub off: usize,
    /// Entries that have a mask.
    pub masked: usize,
}

impl Sparsity {
    /// Counts the entries that [`binarise`] makes 0. (`compute_sparsity` in the official
    /// `trainers/masktuning.py` leaves out those at the threshold, although they are off.)
    pub fn of<const D: usize>(mask: Tensor<D>, threshold: f64) -> Self {
        let masked = mask.shape().num_elements();
        let on = mask.greater_elem(threshold).int().sum().into_scalar::<i64>();
        Self { off: masked.saturating_sub(usize::try_from(on).unwrap_or(0)), masked }
    }

    /// Share of the masked entries that are off, in [0, 1]; 0 without any.
    pub fn share_of_masked(self) -> f64 {
        share(self.off, self.masked)
    }

    /// Share that the entries that are off have in `parameters` values, such as all of the image tower.
    pub fn share_of(self, parameters: usize) -> f64 {
        share(self.off, parameters)
    }
}

impl Add for Sparsity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { off: self.off + other.off, masked: self.masked + other.masked }
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
