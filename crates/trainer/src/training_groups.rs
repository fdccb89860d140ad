//! Parts of a composed method that are optimised each in a way of its own.

use serde::{Deserialize, Serialize};

use crate::aggregation::AggregationSpec;
use crate::optim::{Pace, Rule};
use crate::parameters::Parameters;
use crate::schedule::Schedule;
use crate::training::{TrainingConfig, biases, one};

/// How the parameters of one part are optimised. The run's length and its batches are those of the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Base learning rate.
    pub learning_rate: f64,
    /// Factor on the learning rate of the classifier head (default 1).
    #[serde(default = "one")]
    pub head_multiplier: f64,
    /// Weight decay (default 0).
    #[serde(default)]
    pub weight_decay: f64,
    /// Parameters whose name contains one of these are not decayed (default: every bias).
    #[serde(default = "biases")]
    pub no_decay: Vec<String>,
    /// Largest joint L2 norm of the part's gradients (default: no clipping).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Learning-rate schedule.
    pub schedule: Schedule,
    /// Update rule.
    pub optimiser: Rule,
    /// Which parameters a run ends with (default: those of the last step).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<AggregationSpec>,
}

impl From<&TrainingConfig> for GroupConfig {
    /// What a method says of its own parameters when it is trained alone.
    fn from(config: &TrainingConfig) -> Self {
        Self {
            learning_rate: config.learning_rate,
            head_multiplier: config.head_multiplier,
            weight_decay: config.weight_decay,
            no_decay: config.no_decay.clone(),
            clip_norm: config.clip_norm,
            schedule: config.schedule,
            optimiser: config.optimiser.clone(),
            aggregation: config.aggregation,
        }
    }
}

/// What the names of a part's parameters begin with.
pub fn prefix_of(part: &str) -> String {
    format!("{part}/")
}

/// A step of a run, as far as schedules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub step: usize,
    pub total: usize,
    pub per_epoch: usize,
}

impl TrainingConfig {
    /// The group that a parameter belongs to, if it has one of its own.
    fn group_of(&self, name: &str) -> Option<&GroupConfig> {
        let (part, _) = name.split_once('/')?;
        self.groups.get(part)
    }

    /// How the parameter `name` is moved at `moment`.
    pub(crate) fn pace(&self, name: &str, is_head: bool, moment: Moment) -> Pace<'_> {
        let Moment { step, total, per_epoch } = moment;
        let (schedule, base, multiplier, decay, exempt, rule) = match self.group_of(name) {
            Some(group) => (
                &group.schedule,
                group.learning_rate,
                group.head_multiplier,
                group.weight_decay,
                &group.no_decay,
                &group.optimiser,
            ),
            None => (
                &self.schedule,
                self.learning_rate,
                self.head_multiplier,
                self.weight_decay,
                &self.no_decay,
                &self.optimiser,
            ),
        };
        let rate = schedule.rate(base, step, total, per_epoch);
        let decays = !exempt.iter().any(|part| name.contains(part.as_str()));
        Pace {
            rule,
            learning_rate: if is_head { rate * multiplier } else { rate },
            weight_decay: if decays { decay } else { 0.0 },
        }
    }

    /// Largest norm and name prefix of everything that is clipped together.
    pub(crate) fn clipped(&self) -> impl Iterator<Item = (f64, String)> {
        let own = self.clip_norm.into_iter();
        let own = own.flat_map(|norm| self.clip_groups.iter().map(move |group| (norm, group.clone())));
        let groups = self.groups.iter();
        own.chain(groups.filter_map(|(part, group)| Some((group.clip_norm?, prefix_of(part)))))
    }

    /// Which parameters are averaged over the epochs, and how: those of the group that says so, or those without a
    /// group.
    pub(crate) fn aggregated(&self) -> Option<(AggregationSpec, Option<&str>)> {
        let mut groups = self.groups.iter();
        let of_group = groups.find_map(|(part, group)| Some((group.aggregation?, Some(part.as_str()))));
        of_group.or_else(|| self.aggregation.map(|spec| (spec, None)))
    }

    /// The parameters that [`Self::aggregated`] is about.
    pub(crate) fn aggregated_of(&self, parameters: &Parameters) -> Parameters {
        let part = self.aggregated().and_then(|(_, part)| part);
        parameters.filtered(|name| match part {
            Some(part) => name.starts_with(&prefix_of(part)),
            None => self.group_of(name).is_none(),
        })
    }
}
