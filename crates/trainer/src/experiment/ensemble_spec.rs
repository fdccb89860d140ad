//! The ensemble of a trained model with its zero-shot model in the words of a recipe.

use serde::{Deserialize, Serialize};

use super::check::Faults;
use super::spec::{ExperimentSpec, HeadInit, MethodSpec};

/// Most shares of one run: each is scored on every test split.
const MOST_SHARES: usize = 1000;

/// Mixtures of the trained and the zero-shot model that are tested besides the trained one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleSpec {
    /// What is mixed (default `logits`).
    #[serde(default)]
    pub space: EnsembleSpace,
    /// Shares of the trained model, each in [0, 1]; the rest is the zero-shot model's.
    pub shares: Vec<f64>,
}

/// What an ensemble mixes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnsembleSpace {
    /// The logits of each image.
    #[default]
    Logits,
    /// The weights of image tower and classifier: WiSE-FT.
    Weights,
}

impl EnsembleSpec {
    pub(super) fn check(&self, spec: &ExperimentSpec, faults: &mut Faults) {
        let method = &spec.method;
        let trained = !matches!(method, MethodSpec::ZeroShot { .. });
        let name = method.name();
        faults.require(
            trained,
            "ensemble",
            format!("mixes a trained model with zero-shot; {name} trains none"),
        );
        let count = self.shares.len();
        let fits = (1..=MOST_SHARES).contains(&count);
        faults.require(fits, "ensemble.shares", format!("has {count} entries; expected 1 to {MOST_SHARES}"));
        if let (EnsembleSpace::Weights, Err(reason)) = (self.space, starts_at_zero_shot(spec)) {
            faults.add("ensemble.space", format!("is `weights`, but {name} {reason}; expected `logits`"));
        }
        self.shares.iter().for_each(|share| faults.share("ensemble.shares", *share));
    }
}

/// Whether the weights of a method, before its first step, are those of the zero-shot model, so that they can be mixed
/// with what they become.
fn starts_at_zero_shot(spec: &ExperimentSpec) -> Result<(), &'static str> {
    if spec.before.is_some() {
        return Err("stands on what an earlier stage has trained");
    }
    match &spec.method {
        MethodSpec::Finetune { head, .. }
        | MethodSpec::Kd { head, .. }
        | MethodSpec::Proreg { head, .. }
        | MethodSpec::L2Sp { head, .. } => match head.init {
            HeadInit::Prompt => Ok(()),
            HeadInit::Fresh => Err("has a fresh head, which the zero-shot model lacks"),
            HeadInit::Promptless => Err("has a promptless head, which the zero-shot model lacks"),
        },
        MethodSpec::LpFt { .. } => Err("starts at the head of a linear probe and not at the zero-shot model"),
        _ => Err("does not train the weights of the image tower alone"),
    }
}
