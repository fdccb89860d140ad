//! From the words of a spec to mask tuning over a loaded model.

use std::sync::Arc;

use regulus_losses::FusedTarget;

use super::build::zero_shot;
use super::{Materials, RunError};
use crate::experiment::{DropoutSpec, MaskTuningSpec};
use crate::methods::{GradientDropout, MaskSettings, MaskTargets, MaskTuning, SeededDraws};

/// Masks under a classifier that tells `class_names` apart, written with the first template of the data, as the
/// official code does. The seed is that of gradient dropout.
pub(super) fn mask_tuning(
    spec: &MaskTuningSpec,
    materials: &Materials,
    class_names: &[String],
    seed: u64,
) -> Result<MaskTuning, RunError> {
    let model = zero_shot(materials, class_names)?;
    Ok(MaskTuning::new(model, targets(spec), settings(spec), Arc::new(SeededDraws { seed }))?)
}

pub(super) fn targets(spec: &MaskTuningSpec) -> MaskTargets {
    MaskTargets { part: spec.part, first_convolution: spec.conv1 }
}

pub(super) fn settings(spec: &MaskTuningSpec) -> MaskSettings {
    MaskSettings {
        start: spec.start,
        threshold: spec.threshold,
        norm_weight: spec.norm_weight,
        dropout: spec.dropout.as_ref().map(dropout),
    }
}

fn dropout(spec: &DropoutSpec) -> GradientDropout {
    let DropoutSpec { lambda, temperature, fuse, detached } = *spec;
    let target = if detached { FusedTarget::Detached } else { FusedTarget::WithGradient };
    GradientDropout { lambda, temperature, fuse, target }
}
