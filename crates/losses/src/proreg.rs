//! ProReg: fine-tuning that trusts the zero-shot teacher sample by sample.
//!
//! Zhu et al., "Debiased Fine-Tuning for Vision-language Models by Prompt Regularization", AAAI 2023.
//! A sample on which the student is worse than the teacher is learnt from the teacher, one on which it is
//! better from its label. The released code contains three forms of this weight; [`TeacherWeight`] names
//! them.

use burn::tensor::{Int, Tensor};

use crate::{cross_entropy, distillation};

/// Keeps the weight's denominator positive, as in the official code.
const EPSILON: f64 = 1e-5;

/// How the weight `w` of the teacher follows from the cross-entropies of student, `XE_s`, and teacher,
/// `XE_t`, with the label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TeacherWeight {
    /// `w = q_t / (q_s + q_t + 1e-5)` with `q_s = exp(-XE_s)`, `q_t = exp(-10 XE_t)`: the active form of the
    /// released code. It is nearly 0 wherever the teacher is unsure.
    Exp10,
    /// The same with `q_t = exp(-XE_t)`: the probabilities that both give to the label.
    Prob,
    /// `w = XE_s^gamma / (XE_s^gamma + XE_t^gamma + 1e-5)`.
    Power {
        /// Sharpness; with 0 both weights are one half.
        gamma: f64,
    },
}

/// ProReg's loss of a batch, with the quantities that it is made of.
#[derive(Debug, Clone)]
pub struct ProReg {
    /// `mean((1 - w) XE_s) + alpha mean(w CE_T)`, `[1]`.
    pub loss: Tensor<1>,
    /// `w`, in [0, 1] and without gradient, `[batch]`.
    pub weights: Tensor<1>,
    /// `XE_s`, the student's cross-entropy with the labels, `[batch]`.
    pub student_ce: Tensor<1>,
    /// `XE_t`, the teacher's cross-entropy with the labels, `[batch]`.
    pub teacher_ce: Tensor<1>,
    /// `CE_T`, the [`distillation`] loss, `[batch]`.
    pub distillation: Tensor<1>,
}

/// The weight of the teacher for each sample, in [0, 1], detached from both arguments (Zhu et al. 2023,
/// sample-wise adaptive trade-off weight; `xERM` in the official `losses.py`).
///
/// # Shapes
///
/// - `student_ce`, `teacher_ce`: cross-entropies with the labels, `[batch]`
/// - result: `[batch]`
pub fn teacher_weight(form: TeacherWeight, student_ce: Tensor<1>, teacher_ce: Tensor<1>) -> Tensor<1> {
    let (student_ce, teacher_ce) = (student_ce.detach(), teacher_ce.detach());
    let (numerator, other) = match form {
        TeacherWeight::Exp10 => ((teacher_ce * -10.0).exp(), student_ce.neg().exp()),
        TeacherWeight::Prob => (teacher_ce.neg().exp(), student_ce.neg().exp()),
        TeacherWeight::Power { gamma } => (student_ce.powf_scalar(gamma), teacher_ce.powf_scalar(gamma)),
    };
    numerator.clone() / (other + numerator + EPSILON)
}

/// ProReg's adaptive loss: `mean((1 - w) XE_s) + alpha mean(w CE_T)`, with `w` from [`teacher_weight`] and
/// `CE_T` from [`distillation`] (Zhu et al. 2023; `xERM` in the official `losses.py`).
///
/// The teacher's logits are detached: only the student learns.
///
/// # Shapes
///
/// - `student`, `teacher`: logits, `[batch, classes]`
/// - `labels`: `[batch]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn proreg(
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    form: TeacherWeight,
    alpha: f64,
    temperature: f64,
) -> ProReg {
    let teacher = teacher.detach();
    let student_ce = cross_entropy(student.clone(), labels.clone());
    let teacher_ce = cross_entropy(teacher.clone(), labels);
    let distillation = distillation(student, teacher, temperature);
    let weights = teacher_weight(form, student_ce.clone(), teacher_ce.clone());
    let own = (weights.clone().neg() + 1.0) * student_ce.clone();
    let taught = weights.clone() * distillation.clone() * alpha;
    ProReg { loss: own.mean() + taught.mean(), weights, student_ce, teacher_ce, distillation }
}
