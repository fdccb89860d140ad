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
