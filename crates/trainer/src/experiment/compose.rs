//! From `coop>r-amt+lora` and the recipes of these names to one recipe.
//!
//! `a+b` trains a and b together: length, batches and augmentation are those of the first, and every other keeps its
//! own learning rate, decay, schedule and update rule. `b>a` trains b, freezes it, and trains a on top. `+` binds
//! closer than `>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::composition::{JointSpec, StageSpec, TeacherSpec};
use super::ensemble_spec::EnsembleSpec;
use super::spec::MethodSpec;
use crate::training::TrainingConfig;
use crate::training_groups::{GroupConfig, prefix_of};

/// The part of an experiment that a recipe of `recipes/methods` gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What is trained and how it is regularised.
    pub method: MethodSpec,
    /// How to optimise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingConfig>,
    /// What is trained first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<StageSpec>>,
    /// Which model regularisers follow.
    #[serde(default, skip_serializing_if = "TeacherSpec::is_original")]
    pub teacher: TeacherSpec,
    /// Mixtures with the zero-shot model that are tested too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<EnsembleSpec>,
}

impl Recipe {
    /// The recipe of a method that takes no gradient steps, or whose optimisation is still to be given.
    pub fn of(method: MethodSpec) -> Self {
        Self { method, training: None, before: None, teacher: TeacherSpec::Original, ensemble: None }
    }
}

/// An expression that is no composition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// A method is missing before or behind a sign.
    #[error("`{expression}`: a method is missing beside `+` or `>`; write a+b or b>a with names of methods")]
    Empty {
        /// The expression.
        expression: String,
    },
    /// The same method twice.
    #[error("`{expression}` names {name} twice")]
    Twice {
        /// The expression.
        expression: String,
        /// The method.
        name: String,
    },
    /// A recipe that is a composition itself.
    #[error("{name} is put together already; write out its parts")]
    Composed {
        /// The recipe.
        name: String,
    },
}

/// Whether a method is written as a composition of others.
pub fn is_composed(expression: &str) -> bool {
    expression.contains(['+', '>'])
}

/// The recipe of `expression`, with `recipe(name)` for each of its methods.
///
/// # Errors
/// What `recipe` says, and [`ComposeError`] for an expression that is no composition.
pub fn compose<E: From<ComposeError>>(
    expression: &str,
    mut recipe: impl FnMut(&str) -> Result<Recipe, E>,
) -> Result<Recipe, E> {
    let mut below: Option<Recipe> = None;
    let mut seen: Vec<String> = Vec::new();
    for stage in expression.split('>') {
        let mut parts = Vec::new();
        let mut afterwards = Vec::new();
        for name in stage.split('+').map(str::trim) {
            if name.is_empty() {
                return Err(ComposeError::Empty { expression: expression.into() }.into());
            }
            if seen.iter().any(|other| other == name) {
                return Err(ComposeError::Twice { expression: expression.into(), name: name.into() }.into());
            }
            seen.push(name.to_owned());
            let single = recipe(name)?;
            if single.before.is_some() || matches!(single.method, MethodSpec::Joint(_)) {
                return Err(ComposeError::Composed { name: name.into() }.into());
            }
            // A cache has nothing to train: beside others it is made when they are trained.
            match single.method {
                MethodSpec::TipAdapter(_) => afterwards.push(single),
                _ => parts.push((name.to_owned(), single)),
            }
        }
        let together = joint(parts).into_iter();
        for next in together.chain(afterwards) {
            below = Some(on_top(below, next));
        }
    }
    below.ok_or_else(|| ComposeError::Empty { expression: expression.into() }.into())
}

/// `next` behind what `below` trains.
fn on_top(below: Option<Recipe>, next: Recipe) -> Recipe {
    let before =
        below.map(|Recipe { method, training, before, .. }| Box::new(StageSpec { method, training, before }));
    Recipe { before, ..next }
}

/// The methods trained together; none of none.
fn joint(parts: Vec<(String, Recipe)>) -> Option<Recipe> {
    let mut groups = BTreeMap::new();
    let mut methods = BTreeMap::new();
    let mut training: Option<TrainingConfig> = None;
    let alone = parts.len() == 1;
    let mut parts = parts.into_iter();
    let (name, first) = parts.next()?;
    if alone {
        return Some(first);
    }
    for (name, part) in std::iter::once((name, first)).chain(parts) {
        if let Some(config) = part.training {
            match &training {
                None => training = Some(own(config, &name)),
                Some(_) if trains_parameters(&part.method) => {
                    groups.insert(name.clone(), GroupConfig::from(&config));
                }
                Some(_) => {}
            }
        }
        methods.insert(name, part.method);
    }
    let training = training.map(|config| TrainingConfig { groups, ..config });
    let method = MethodSpec::Joint(JointSpec { parts: methods });
    Some(Recipe { training, ..Recipe::of(method) })
}

/// Whether a method has parameters of its own among others, and is no mere objective.
fn trains_parameters(method: &MethodSpec) -> bool {
    !matches!(method, MethodSpec::Kd { .. } | MethodSpec::Proreg { .. })
}

/// The optimisation of the first method, which clips nothing but its own gradients.
fn own(config: TrainingConfig, name: &str) -> TrainingConfig {
    let everything = config.clip_groups.iter().all(String::is_empty);
    let clip_groups = if everything { vec![prefix_of(name)] } else { config.clip_groups.clone() };
    let clip_groups = if config.clip_norm.is_some() { clip_groups } else { config.clip_groups.clone() };
    TrainingConfig { clip_groups, ..config }
}

#[cfg(test)]
mod tests {
    use super::super::parse_toml;
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Fault {
        Unknown(String),
        Compose(ComposeError),
    }

    impl From<ComposeError> for Fault {
        fn from(error: ComposeError) -> Self {
            Self::Compose(error)
        }
    }

    fn recipe(name: &str) -> Result<Recipe, Fault> {
        let (method, rate) = match name {
            "coop" => ("name = \"coop\"", 0.01),
            "r-amt" => ("name = \"r-mt\"", 0.03),
            "lora" => ("name = \"lora\", dropout = 0.0", 0.001),
            "proreg" => ("name = \"proreg\", form = \"prob\", alpha = 2.0", 1e-5),
            "tip-adapter" => {
                return Ok(parse_toml("method = { name = \"tip-adapter\" }", name).unwrap());
            }
            other => return Err(Fault::Unknown(other.to_owned())),
        };
        let text = format!(
            "method = {{ {method} }}\n[training]\nsteps = {}\nbatch = 8\nlearning_rate = {rate}\n\
             clip_norm = 1.0\nschedule = {{ decay = \"cosine\" }}\noptimiser = {{ rule = \"adam-w\" }}",
            name.len()
        );
        Ok(parse_toml(&text, name).unwrap())
    }

    #[test]
    fn one_name_is_its_recipe() {
        assert_eq!(compose("coop", recipe).unwrap(), recipe("coop").unwrap());
    }

    #[test]
    fn the_first_decides_the_length_and_each_keeps_its_own_rates() {
        let composed = compose("r-amt+coop+proreg", recipe).unwrap();
        let MethodSpec::Joint(joint) = &composed.method else { panic!("{:?}", composed.method) };
        assert_eq!(joint.parts.keys().collect::<Vec<_>>(), ["coop", "proreg", "r-amt"]);
        let training = composed.training.unwrap();
        assert_eq!((training.steps, training.learning_rate), (Some(5), 0.03));
        assert_eq!(training.clip_groups, ["r-amt/"]);
        assert_eq!(training.groups.keys().collect::<Vec<_>>(), ["coop"], "an objective moves nothing");
        assert_eq!(training.groups["coop"].learning_rate, 0.01);
    }

    #[test]
    fn stages_stand_on_each_other() {
        let composed = compose("proreg > coop>r-amt+lora", recipe).unwrap();
        assert_eq!(composed.method.label(), "lora+r-amt");
        let coop = composed.before.unwrap();
        assert_eq!((coop.method.name(), coop.training.unwrap().steps), ("coop", Some(4)));
        assert_eq!(coop.before.unwrap().method.name(), "proreg");
    }

    #[test]
    fn a_cache_is_made_when_the_others_are_trained() {
        let beside = compose("r-amt+tip-adapter", recipe).unwrap();
        assert_eq!(beside, compose("r-amt>tip-adapter", recipe).unwrap());
        assert_eq!(beside, compose("tip-adapter+r-amt", recipe).unwrap());
        assert_eq!(beside.method.name(), "tip-adapter");
        assert!(beside.training.is_none());
    }

    #[test]
    fn what_is_no_composition_says_so() {
        for expression in ["coop+", "+coop", ">coop", "coop>", "coop>>r-amt", "coop+ +r-amt", ""] {
            let refused = compose(expression, recipe).unwrap_err();
            assert!(
                matches!(refused, Fault::Compose(ComposeError::Empty { .. })),
                "{expression}: {refused:?}"
            );
        }
        let twice = compose("coop>r-amt+coop", recipe).unwrap_err();
        assert!(matches!(twice, Fault::Compose(ComposeError::Twice { name, .. }) if name == "coop"));
        assert_eq!(compose("coop+cop", recipe).unwrap_err(), Fault::Unknown("cop".into()));
    }
}
