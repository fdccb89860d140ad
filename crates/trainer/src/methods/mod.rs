//! The methods, one file each.

mod finetune;
mod head;
mod lbfgs;
mod linear_probe;
pub mod prompts;

pub use finetune::{FineTune, Regulariser};
pub use head::{Head, HeadStart};
pub use lbfgs::{LogisticRegression, ProbeError, fit_logistic_regression};
pub use linear_probe::LinearProbe;
