//! Whether an optimisation makes sense, for a whole method and for each of its parts.

use super::check::{ExperimentFaults, Faults};
use super::method_spec::MethodSpec;
use crate::aggregation::AggregationSpec;
use crate::optim::Rule;
use crate::schedule::Warmup;
use crate::training::TrainingConfig;

/// Checks an optimisation that does not belong to an experiment, such as that of pre-training.
///
/// # Errors
/// [`ExperimentFaults`] with one entry for each value out of range or missing.
pub fn check_training_config(training: &TrainingConfig) -> Result<(), ExperimentFaults> {
    let mut faults = Faults::none();
    check_training(training, &mut faults);
    faults.into_result()
}

/// Most steps or epochs of a run.
const MOST_STEPS: usize = 1_000_000_000;

pub(super) fn check_training(training: &TrainingConfig, faults: &mut Faults) {
    for (key, count) in [("training.steps", training.steps), ("training.epochs", training.epochs)] {
        let fits = count.is_none_or(|count| count <= MOST_STEPS);
        faults.require(fits, key, format!("is more than {MOST_STEPS}"));
    }
    let unclipped = training.clip_norm.is_some() && training.clip_groups.is_empty();
    faults.require(!unclipped, "training.clip_groups", "is empty, so that nothing would be clipped".into());
    match (training.steps, training.epochs) {
        (Some(0), None) => faults.add("training.steps", "is 0; expected at least 1".into()),
        (None, Some(0)) => faults.add("training.epochs", "is 0; expected at least 1".into()),
        (Some(_), None) | (None, Some(_)) => {}
        (Some(_), Some(_)) => {
            faults.add("training.epochs", "and training.steps are both given; keep one".into())
        }
        (None, None) => faults.add("training.steps", "is missing; give it or training.epochs".into()),
    }
    faults.require(training.batch > 0, "training.batch", "is 0; expected at least 1".into());
    faults.require(training.accumulate > 0, "training.accumulate", "is 0; expected at least 1".into());
    training.augmentation.check(faults);
    let one = training.selection.is_last() || training.aggregation.is_none();
    let message = "chooses one epoch, and training.aggregation averages over all; keep one";
    faults.require(one, "training.selection", message.into());
    check_optimisation(training, faults);
}

/// What may differ from part to part.
fn check_optimisation(training: &TrainingConfig, faults: &mut Faults) {
    faults.positive("training.learning_rate", training.learning_rate);
    faults.not_negative("training.head_multiplier", training.head_multiplier);
    faults.not_negative("training.weight_decay", training.weight_decay);
    if let Some(norm) = training.clip_norm {
        faults.positive("training.clip_norm", norm);
    }
    faults.not_negative("training.schedule.warmup", training.schedule.warmup);
    if let Warmup::Constant { rate } = training.schedule.rise {
        faults.positive("training.schedule.rise.rate", rate);
    }
    if let Some(aggregation) = &training.aggregation {
        check_aggregation(aggregation, training, faults);
    }
    match &training.optimiser {
        Rule::Sgd { momentum, .. } => {
            let fits = (0.0..1.0).contains(momentum);
            faults.require(
                fits,
                "training.optimiser.momentum",
                format!("is {momentum}; expected 0 to below 1"),
            );
        }
        Rule::Adam(moments) | Rule::AdamW(moments) | Rule::HfAdamW(moments) => {
            for (key, beta) in [("beta1", moments.beta1), ("beta2", moments.beta2)] {
                let fits = (0.0..1.0).contains(&beta);
                let key = format!("training.optimiser.{key}");
                faults.require(fits, &key, format!("is {beta}; expected 0 to below 1"));
            }
            faults.positive("training.optimiser.epsilon", moments.epsilon);
        }
    }
}

/// Groups are for the parts of a method, and one of them at most is averaged over its epochs.
pub(super) fn check_groups(method: &MethodSpec, training: &TrainingConfig, faults: &mut Faults) {
    let parts = method.parts();
    for (name, group) in &training.groups {
        let key = format!("training.groups.{name}");
        let known = matches!(method, MethodSpec::Joint(_)) && parts.iter().any(|(part, _)| part == name);
        faults.require(known, &key, "is no part of the method".into());
        let alone = TrainingConfig {
            learning_rate: group.learning_rate,
            head_multiplier: group.head_multiplier,
            weight_decay: group.weight_decay,
            clip_norm: group.clip_norm,
            schedule: group.schedule,
            optimiser: group.optimiser.clone(),
            aggregation: group.aggregation,
            ..training.clone()
        };
        faults.renamed("training", &key, |faults| check_optimisation(&alone, faults));
    }
    let averaged = training.groups.values().filter(|group| group.aggregation.is_some()).count()
        + usize::from(training.aggregation.is_some());
    let message = "is given for more than one part; keep one".into();
    faults.require(averaged <= 1, "training.aggregation", message);
}

/// Most epochs that are aggregated: each has a weight in memory.
const MOST_AGGREGATED: usize = 1_000_000;

fn check_aggregation(aggregation: &AggregationSpec, training: &TrainingConfig, faults: &mut Faults) {
    let most = training.epochs.max(training.steps).unwrap_or(0);
    let message = format!("is for at most {MOST_AGGREGATED} epochs or steps, the run has {most}");
    faults.require(most <= MOST_AGGREGATED, "training.aggregation", message);
    if let AggregationSpec::Gaussian { mean, std } = aggregation {
        let message = format!("is {mean}; expected a finite number");
        faults.require(mean.is_finite(), "training.aggregation.mean", message);
        faults.positive("training.aggregation.std", *std);
    }
}
