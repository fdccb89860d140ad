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

#[cfg(test)]
mod tests {
    use super::super::{Experiment, ExperimentFaults, ExperimentSpec, SpecError, parse_toml};

    fn parsed(method: &str, budget: &str) -> Result<ExperimentSpec, SpecError> {
        let text = format!(
            "seed = 1\nmodel = {{ path = \"m\" }}\ndata = {{ kind = \"world-bias\", strength = 0.5 }}\n\
             method = {method}\n[training]\nsteps = 8\nbatch = 4\nlearning_rate = 1e-3\n\
             schedule = {{ decay = \"cosine\" }}\noptimiser = {{ rule = \"sgd\", momentum = 0.9 }}\n\
             memory_budget = {budget}\n"
        );
        parse_toml(&text, "test")
    }

    fn checked(method: &str, budget: &str) -> Result<Experiment, ExperimentFaults> {
        Experiment::check(parsed(method, budget).unwrap())
    }

    #[test]
    fn a_budget_is_for_prompts_of_texts() {
        let experiment = checked("{ name = \"coop\" }", "\"4 GiB\"").unwrap();
        assert!(experiment.canonical_toml().unwrap().contains("memory_budget = \"4GiB\""));
        for method in ["{ name = \"finetune\" }", "{ name = \"cocoop\" }", "{ name = \"r-mt\" }"] {
            let faults = checked(method, "\"4GiB\"").unwrap_err().to_string();
            assert!(faults.contains("training.memory_budget"), "{faults}");
        }
        assert!(checked("{ name = \"coop\" }", "\"0\"").unwrap_err().to_string().contains("is 0"));
        for wrong in ["\"much\"", "4"] {
            assert!(parsed("{ name = \"coop\" }", wrong).is_err(), "{wrong}");
        }
    }
}
