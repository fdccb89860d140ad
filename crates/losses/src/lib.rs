//! The losses of regularised fine-tuning, as pure functions on tensors.
//!
//! Each function states its equation, its paper and the official file that it agrees with. Losses are
//! returned per sample, `[batch]`, unless stated otherwise, so that a method can weight samples before it
//! averages. Everything goes through the log-softmax: logits of any finite size give finite losses.

mod cross_entropy;
mod distillation;
mod l2_sp;
mod proreg;

pub use cross_entropy::{cross_entropy, smooth_labels, soft_cross_entropy};
pub use distillation::{constant_distillation, distillation, kl_divergence};
pub use l2_sp::l2_sp;
pub use proreg::{ProReg, TeacherWeight, proreg, teacher_weight};
