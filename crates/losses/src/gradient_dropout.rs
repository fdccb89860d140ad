//! R-MT's gradient dropout: what the task asks of a parameter is dropped at random where the frozen model
//! would rather have the opposite.
//!
//! Zheng et al., "Regularized Mask Tuning: Uncovering Hidden Knowledge in Pre-trained Vision-Language
//! Models", ICCV 2023; `graddrop_backward_and_update` and `KLLoss` in `trainers/masktuning.py`. The gradient
//! of the task (cross-entropy and mask regulariser) is `a`, that of the agreement with the frozen model `b`.

use burn::tensor::Tensor;

use crate::distillation;

/// Keeps the probability's denominator positive, as in the official code.
const EPSILON: f64 = 1e-8;

/// Whether the fused teacher's own share of the student has a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FusedTarget {
    /// The gradient flows through the target too, as in the released code.
    WithGradient,
    /// The target is fixed.
    Detached,
}

/// [`distillation`] from the teacher's logits mixed with the student's, `fuse t + (1 - fuse) s` (`KLLoss` in
/// `trainers/masktuning.py`; the published runs have `fuse` 1, where both targets are the same). The teacher's
/// logits are detached. Its mean over the batch is the objective of the gradient `b`.
///
/// # Shapes
///
/// - `student`, `teacher`: logits, `[batch, classes]`
/// - result: `[batch]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn fused_distillation(
    student: Tensor<2>,
    teacher: Tensor<2>,
    fuse: f64,
    temperature: f64,
    target: FusedTarget,
) -> Tensor<1> {
    assert_eq!(student.dims(), teacher.dims(), "fused logits of different shapes");
    let own = match target {
        FusedTarget::WithGradient => student.clone(),
        FusedTarget::Detached => student.clone().detach(),
    };
    let fused = teacher.detach() * fuse + own * (1.0 - fuse);
    distillation(student, fused, temperature)
}

/// The probability that an entry of the task's gradient is kept, elementwise:
/// `P = (1 + sign(a) (a + b) / (|a| + |b| + 1e-8)) / 2` (Zheng et al. 2023).
///
/// It is 1 where the signs agree (up to the 1e-8), 1/2 where `a` is 0, and below 1/2 where `b` opposes `a`
/// and is larger.
///
/// # Shapes
///
/// - `task` (`a`), `general` (`b`), result: any, the same
///
/// # Panics
///
/// If the shapes do not agree.
pub fn keep_probability<const D: usize>(task: Tensor<D>, general: Tensor<D>) -> Tensor<D> {
    assert_eq!(task.dims(), general.dims(), "gradients of different shapes");
    let size = task.clone().abs() + general.clone().abs() + EPSILON;
    ((task.clone().sign() * (task + general)) / size + 1.0) / 2.0
}

/// `a (1 - λ + λ [P > U])`: entries that are not kept shrink to `1 - λ` of their size, the others stay as they
/// are (Zheng et al. 2023). With `λ` 0 nothing changes.
///
/// # Shapes
///
/// - `task` (`a`), result: any, the same
/// - `keep`: `P` of [`keep_probability`], the same
/// - `uniform`: `U`, uniform random numbers in [0, 1), the same; new ones for every tensor and step
///
/// # Panics
///
/// If the shapes do not agree.
pub fn drop_gradient<const D: usize>(
    task: Tensor<D>,
    keep: Tensor<D>,
    uniform: Tensor<D>,
    lambda: f64,
) -> Tensor<D> {
    assert_eq!(task.dims(), keep.dims(), "gradient and keep probabilities of different shapes");
    assert_eq!(task.dims(), uniform.dims(), "gradient and random numbers of different shapes");
    let shrunk = task.clone() * (1.0 - lambda);
    shrunk.mask_where(keep.greater(uniform), task)
}
