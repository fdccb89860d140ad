//! ProGrad's projection: what the task asks of a parameter loses the part that the frozen model would rather have
//! the other way round.
//!
//! Zhu, Niu, Han, Wu, Zhang, "Prompt-aligned Gradient for Prompt Tuning", ICCV 2023;
//! `prograd_backward_and_update` in `Dassl.ProGrad.pytorch/dassl/engine/trainer.py`. The gradient of the task is `a`,
//! that of the agreement with the frozen model `b`; each parameter is treated on its own, as one vector.

use burn::tensor::Tensor;

use crate::norm::total;

/// Smallest entry that a gradient is scaled by: smaller ones are as good as none.
const SMALLEST: f32 = f32::MIN_POSITIVE;

/// `a - λ (a·b / ‖b‖²) b` where `a·b < 0`, and `a` elsewhere (the paper's update rule).
///
/// With `λ` 1 the result is orthogonal to `b` where the two opposed each other; with `λ` 0 nothing changes. Where `b`
/// is 0 nothing changes either: the official code divides 0 by 0 there, and the comparison with the result is false.
/// `b` is scaled by its largest entry first, so that squares neither vanish nor overflow; the official code divides by
/// its length, which is the same number otherwise.
///
/// # Shapes
///
/// - `task` (`a`), `general` (`b`), result: `[n]`
///
/// # Panics
///
/// If the shapes do not agree, or there are no entries.
pub fn without_opposed_part(task: Tensor<1>, general: Tensor<1>, lambda: f64) -> Tensor<1> {
    let direction = general.clone() / general.abs().max().clamp_min(SMALLEST);
    let opposed = inner_product(task.clone(), direction.clone()).clamp_max(0.0);
    // The largest entry is 1 in size, unless there is none.
    let squared = inner_product(direction.clone(), direction.clone()).clamp_min(1.0);
    task - direction * (opposed / squared * lambda)
}

/// `Σ a b`, as `[1]`, summed in an order that does not depend on threads.
///
/// # Shapes
///
/// - `left`, `right`: `[n]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn inner_product(left: Tensor<1>, right: Tensor<1>) -> Tensor<1> {
    assert_eq!(left.dims(), right.dims(), "inner product of vectors of different lengths");
    total(left * right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn projected(task: &[f32], general: &[f32], lambda: f64) -> Vec<f32> {
        let tensor = |values: &[f32]| Tensor::<1>::from_data(values, &Device::flex());
        let result = without_opposed_part(tensor(task), tensor(general), lambda);
        result.into_data_as::<f32>().iter::<f32>().collect()
    }

    #[test]
    fn the_equation_by_hand() {
        // a·b = 3 - 8 = -5, ‖b‖² = 5: one whole b is added.
        assert_eq!(projected(&[3.0, -4.0], &[1.0, 2.0], 1.0), [4.0, -2.0]);
        // The same with a b of another length: only its direction counts.
        assert_eq!(projected(&[3.0, -4.0], &[2.0, 4.0], 1.0), [4.0, -2.0]);
        assert_eq!(projected(&[3.0, -4.0], &[1.0, 2.0], 0.5), [3.5, -3.0]);
        // a·b = 3 + 8: they agree.
        assert_eq!(projected(&[3.0, 4.0], &[1.0, 2.0], 1.0), [3.0, 4.0]);
    }

    #[test]
    fn no_gradient_opposes_nothing() {
        assert_eq!(projected(&[3.0, -4.0], &[0.0, 0.0], 1.0), [3.0, -4.0]);
        assert_eq!(projected(&[0.0, 0.0], &[1.0, -2.0], 1.0), [0.0, 0.0]);
    }
}
