//! What to change of a run that needs more memory than there is, computed with the formula that found it too large.

use super::memory::memory;
use super::sizes::Sizes;
use crate::experiment::{ExperimentSpec, MethodSpec};
use crate::memory_budget::MemoryBudget;
use crate::methods::adaptation::Towers;
use crate::methods::prompts::Depth;
use regulus_clip::{BackboneArchitecture, Precision};

/// Batches above this are not suggested: nobody waits until all divisors of an absurd one are found.
const LARGEST_BATCH: usize = 1 << 16;

/// A change of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What to change: arguments of the command line, or words.
    pub change: String,
    /// Bytes that the run needs then.
    pub total: u64,
    /// Whether that fits.
    pub fits: bool,
}

/// The cheapest change that makes the run fit into `available` bytes: class texts computed some at a time; a smaller batch with as much accumulation, which
/// changes nothing else; 16-bit towers, where `supports` says that the device has them; fewer learned parts; fewer
/// classes. If none does, the one that saves most; `None` if none saves anything.
pub fn advice(
    spec: &ExperimentSpec,
    sizes: &Sizes,
    available: u64,
    supports: impl Fn(Precision) -> bool,
) -> Option<Advice> {
    let now = memory(spec, sizes).total;
    let mut best: Option<Advice> = None;
    let of_recipe = within_budget(spec, available)
        .into_iter()
        .chain(smaller_batches(spec, sizes))
        .chain(narrower(spec, supports))
        .chain(shallower(spec));
    let changes = of_recipe.map(|(change, spec)| (change, memory(&spec, sizes).total));
    for (change, total) in changes.chain(fewer_classes(spec, sizes)) {
        if total <= available {
            return Some(Advice { change, total, fits: true });
        }
        if total < best.as_ref().map_or(now, |best| best.total) {
            best = Some(Advice { change, total, fits: false });
        }
    }
    best
}

/// A budget of what there is, in whole MiB.
fn within_budget(spec: &ExperimentSpec, available: u64) -> Option<(String, ExperimentSpec)> {
    let mut changed = spec.clone();
    let training =
        changed.training.as_mut().filter(|_| spec.before.is_none() && spec.method.splits_classes())?;
    let budget = MemoryBudget((available >> 20 << 20).max(1 << 20));
    let before = training.memory_budget.replace(budget);
    (before != Some(budget)).then(|| (format!("--set training.memory_budget={budget}"), changed))
}

/// Batches that divide the batch, the largest first, with as many more accumulated. Statistics of a batch would not be
/// the same in smaller ones.
fn smaller_batches(spec: &ExperimentSpec, sizes: &Sizes) -> Vec<(String, ExperimentSpec)> {
    let of_batches =
        spec.method.tes().is_some() || matches!(sizes.backbone, Some(BackboneArchitecture::ResNet(_)));
    let Some(training) = spec.training.as_ref().filter(|_| !of_batches) else { return Vec::new() };
    // A batch has no more images than there are.
    let largest = (training.batch / 2).min(sizes.train).min(LARGEST_BATCH);
    let divisors = (1..=largest).rev().filter(|smaller| training.batch.is_multiple_of(*smaller));
    let with = |batch: usize| {
        let accumulate = training.accumulate.saturating_mul(training.batch / batch);
        let mut changed = spec.clone();
        if let Some(training) = &mut changed.training {
            (training.batch, training.accumulate) = (batch, accumulate);
        }
        (format!("--set training.batch={batch} --set training.accumulate={accumulate}"), changed)
    };
    divisors.map(with).collect()
}

fn narrower(spec: &ExperimentSpec, supports: impl Fn(Precision) -> bool) -> Option<(String, ExperimentSpec)> {
    let mut changed = spec.clone();
    let training = changed.training.as_mut()?;
    let useful = training.precision == Precision::F32 && spec.model.backbone.is_none();
    if !useful || !supports(Precision::Bf16) {
        return None;
    }
    training.precision = Precision::Bf16;
    Some(("--set training.precision=\"bf16\"".to_owned(), changed))
}

/// Without what is learned in the text tower, or in the image tower.
fn shallower(spec: &ExperimentSpec) -> Vec<(String, ExperimentSpec)> {
    let with = |change: &str, method: MethodSpec| {
        (format!("--set {change}"), ExperimentSpec { method, ..spec.clone() })
    };
    let none = Depth::default();
    match &spec.method {
        MethodSpec::Ivlp(ivlp) if ivlp.image.is_some() && ivlp.text.is_some() => {
            let (mut texts, mut images) = (ivlp.clone(), ivlp.clone());
            (texts.text, images.image) = (none, none);
            vec![
                with("method.text.layers=0", MethodSpec::Ivlp(texts)),
                with("method.image.layers=0", MethodSpec::Ivlp(images)),
            ]
        }
        MethodSpec::Promptsrc(promptsrc) if promptsrc.image.is_some() && promptsrc.text.is_some() => {
            let (mut texts, mut images) = (promptsrc.clone(), promptsrc.clone());
            (texts.text, images.image) = (none, none);
            vec![
                with("method.text.layers=0", MethodSpec::Promptsrc(texts)),
                with("method.image.layers=0", MethodSpec::Promptsrc(images)),
            ]
        }
        MethodSpec::Lora(lora) if lora.towers == Towers::Both => {
            let of = |towers| MethodSpec::Lora(crate::experiment::LoraSpec { towers, ..lora.clone() });
            vec![
                with("method.towers=\"image\"", of(Towers::Image)),
                with("method.towers=\"text\"", of(Towers::Text)),
            ]
        }
        _ => Vec::new(),
    }
}

/// Half as many classes, and half of those.
fn fewer_classes(spec: &ExperimentSpec, sizes: &Sizes) -> Vec<(String, u64)> {
    let halves = std::iter::successors(Some(sizes.classes / 2), |classes| Some(classes / 2));
    let with = |classes: usize| {
        let total = memory(spec, &Sizes { classes, ..sizes.clone() }).total;
        (format!("{classes} instead of {} classes", sizes.classes), total)
    };
    halves.take_while(|classes| *classes >= 2).map(with).collect()
}
