//! Distillation from a teacher's logits: the regulariser that keeps a fine-tuned model near its start.

use burn::tensor::{Int, Tensor, activation};
use regulus_kernels::log_softmax;

use crate::{cross_entropy, soft_cross_entropy};

/// Distillation with softened outputs: `-T² Σ_c softmax(teacher/T)_c log softmax(student/T)_c` (Hinton et al.
/// 2015, section 2; `knowledge_distill` in ProReg's `losses.py`).
///
/// It differs from [`kl_divergence`] by `T²` times the teacher's entropy, which has no gradient in the
/// student. No gradient is cut: pass a detached teacher where it must stay fixed.
///
/// # Shapes
///
/// - `student`, `teacher`: logits, `[batch, classes]`
/// - result: `[batch]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn distillation(student: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Tensor<1> {
    let targets = activation::softmax(teacher / temperature, 1);
    soft_cross_entropy(student / temperature, targets) * (temperature * temperature)
}

/// Kullback-Leibler divergence of softened outputs, `T² KL(softmax(teacher/T) ‖ softmax(student/T))`:
/// non-negative, and 0 exactly where student and teacher agree.
///
/// # Shapes
///
/// - `student`, `teacher`: logits, `[batch, classes]`
/// - result: `[batch]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn kl_divergence(student: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Tensor<1> {
    assert_eq!(student.dims(), teacher.dims(), "divergence of logits of different shapes");
    let student = log_softmax(student / temperature);
    let teacher = log_softmax(teacher / temperature);
    let divergence = (teacher.clone().exp() * (teacher - student)).sum_dim(1);
    divergence.squeeze_dim(1) * (temperature * temperature)
}

/// Conventional distillation with one weight for all samples:
/// `(1 - alpha) cross_entropy(student, labels) + alpha distillation(student, teacher, T)` (the fixed-weight
/// baseline of ProReg, Zhu et al. 2023; `knowledge_distill` in ProReg's `losses.py`).
///
/// # Shapes
///
/// - `student`, `teacher`: logits, `[batch, classes]`
/// - `labels`: `[batch]`
/// - result: `[batch]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn constant_distillation(
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    alpha: f64,
    temperature: f64,
) -> Tensor<1> {
    cross_entropy(student.clone(), labels) * (1.0 - alpha)
        + distillation(student, teacher, temperature) * alpha
}
