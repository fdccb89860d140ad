//! Whether a method can make do with a memory budget.

use super::check::Faults;
use super::method_spec::MethodSpec;
use super::spec::ExperimentSpec;

/// A budget is kept by computing the texts of some classes at a time, which methods do that learn prompts of the text
/// tower, alone.
pub(super) fn check_budget(spec: &ExperimentSpec, faults: &mut Faults) {
    let Some(budget) = spec.training.as_ref().and_then(|training| training.memory_budget) else { return };
    let keeps = spec.before.is_none() && spec.method.splits_classes();
    let message = "is for coop, kgcoop, ivlp, maple and promptsrc alone, whose class texts can be computed some at \
                   a time; leave it out, and lower training.batch with training.accumulate instead";
    faults.require(keeps, "training.memory_budget", message.into());
    faults.require(budget.0 > 0, "training.memory_budget", "is 0; expected a size such as `4GiB`".into());
}

impl MethodSpec {
    /// Whether the class texts of a step can be computed in parts.
    pub fn splits_classes(&self) -> bool {
        match self {
            Self::Coop(_) | Self::Kgcoop(_) | Self::Maple(_) => true,
            Self::Ivlp(spec) => spec.text.is_some(),
            Self::Promptsrc(spec) => spec.text.is_some(),
            _ => false,
        }
    }
}
