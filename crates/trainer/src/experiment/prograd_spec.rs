//! ProGrad in the words of a recipe. Defaults are the published settings.

use serde::{Deserialize, Serialize};

use super::check::Faults;
use super::mask_specs::TEMPERATURES;
use super::prompt_specs::{template, vectors};
use crate::methods::prompts::{ContextStart, ProjectionSettings};

/// ProGrad: a context whose gradient loses what opposes the zero-shot prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProgradSpec {
    /// Number of vectors (default 16).
    pub vectors: usize,
    /// What they start from: `words` or `random` (default `words`). Where there are more vectors than words, the words
    /// take the last places, and the others start at 0.
    pub start: ContextStart,
    /// Text in which the vectors stand before the class name (default: the first template of the data).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Share of the opposed component that is removed (default 1).
    pub lambda: f64,
    /// Softening of both distributions (default 1).
    pub temperature: f64,
}

impl Default for ProgradSpec {
    fn default() -> Self {
        let ProjectionSettings { lambda, temperature } = ProjectionSettings::default();
        Self { vectors: 16, start: ContextStart::Words, template: None, lambda, temperature }
    }
}

impl ProgradSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        vectors(faults, "method.vectors", self.vectors);
        template(faults, self.template.as_ref());
        faults.share("method.lambda", self.lambda);
        let (temperature, ends) = (self.temperature, (TEMPERATURES.start(), TEMPERATURES.end()));
        let message = format!("is {temperature}; expected {} to {}", ends.0, ends.1);
        faults.require(TEMPERATURES.contains(&temperature), "method.temperature", message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, ExperimentSpec, MethodSpec, parse_toml};
    use super::*;

    fn spec(method: &str) -> ExperimentSpec {
        let text = format!(
            "seed = 1\nmodel = {{ path = \"m\" }}\ndata = {{ kind = \"world-base-to-novel\" }}\n\
             method = {{ name = \"prograd\", {method} }}\n[training]\nsteps = 7\nbatch = 32\nlearning_rate = 0.002\n\
             schedule = {{ decay = \"cosine\" }}\noptimiser = {{ rule = \"sgd\", momentum = 0.9 }}"
        );
        parse_toml(&text, "test").unwrap()
    }

    #[test]
    fn defaults_are_the_published_ones() {
        let spec = spec("");
        let MethodSpec::Prograd(prograd) = &spec.method else { panic!("{:?}", spec.method) };
        assert_eq!((prograd.vectors, prograd.lambda, prograd.temperature), (16, 1.0, 1.0));
        assert_eq!((prograd.start, spec.method.label()), (ContextStart::Words, "prograd".to_owned()));
        Experiment::check(spec).unwrap();
    }

    #[test]
    fn values_out_of_range_name_their_key() {
        let wrong = spec("vectors = 0, lambda = 1.5, temperature = 1e-9");
        let faults = Experiment::check(wrong).unwrap_err();
        let keys: Vec<String> = faults.0.into_iter().map(|fault| fault.key).collect();
        assert_eq!(keys, ["method.vectors", "method.lambda", "method.temperature"]);
    }
}
