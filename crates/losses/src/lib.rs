//! The losses of regularised fine-tuning, as pure functions on tensors.
//!
//! Each function states its equation, its paper and the official file that it agrees with. Losses are
//! returned per sample, `[batch]`, unless stated otherwise, so that a method can weight samples before it
//! averages. Everything goes through the log-softmax: logits of any finite size give finite losses.
//!
//! Beside the losses stand the operations on parameters and gradients that belong to a method's equations:
//! R-MT's masks ([`masked_weight`]) and gradient dropout ([`drop_gradient`]), ProGrad's projection
//! ([`without_opposed_part`]), PromptSRC's aggregation over epochs ([`RunningAggregate`]).

mod cross_entropy;
mod distillation;
mod gaussian;
mod gradient_dropout;
mod l2_sp;
mod masks;
mod norm;
mod nt_xent;
mod projection;
mod promptsrc;
mod proreg;
mod tes;

pub use cross_entropy::{cross_entropy, smooth_labels, soft_cross_entropy};
pub use distillation::{constant_distillation, distillation, kl_divergence};
pub use gaussian::{Aggregation, AggregationError, RunningAggregate};
pub use gradient_dropout::{FusedTarget, drop_gradient, fused_distillation, keep_probability};
pub use l2_sp::l2_sp;
pub use masks::{Sparsity, binarise, mask_regulariser, masked_weight};
pub use nt_xent::nt_xent;
pub use projection::{inner_product, without_opposed_part};
pub use promptsrc::{
    BatchOutputs, PromptSrc, PromptSrcWeights, aggregate_templates, feature_agreement, logit_agreement,
    promptsrc,
};
pub use proreg::{ProReg, TeacherWeight, proreg, teacher_weight};
pub use tes::{Tes, TesSettings, reference_logits, tes, tes_soft_labels};
