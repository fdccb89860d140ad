//! The methods, one file each.

pub mod adaptation;
mod encoder_tuning;
mod finetune;
mod head;
mod lbfgs;
mod linear_layer;
mod linear_probe;
mod masks;
mod named_parts;
mod part;
mod probe_then_tune;
mod promptless;
pub mod prompts;

pub use encoder_tuning::{EncoderMasks, EncoderTuning, ImageEncoder, Supervision};
pub use finetune::{FineTune, Regulariser};
pub use head::{Head, HeadStart};
pub use lbfgs::{LogisticRegression, ProbeError, fit_logistic_regression};
pub use linear_probe::LinearProbe;
pub use masks::{
    DropoutDraws, GradientDropout, GroupImportance, Importance, MaskError, MaskPart, MaskSettings,
    MaskTargets, MaskTuning, MaskedWeight, Masks, Measure, SeededDraws, TensorImportance,
    importance_by_change, importance_by_gradient, weight_group,
};
pub use named_parts::NamedParts;
pub use part::Part;
pub use probe_then_tune::ProbeThenFineTune;
