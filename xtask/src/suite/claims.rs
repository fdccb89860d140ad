//! The verdict of every claim of a suite.

use regulus_trainer::comparison::{FEWEST_PAIRS, PairedDifference, Verdict};
use serde::Serialize;

use super::results::Results;
use super::spec::Claim;

/// A claim with its verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClaimOutcome {
    /// Short name.
    pub id: String,
    /// The claim in words.
    pub text: String,
    /// What the measurements say.
    pub verdict: Verdict,
    /// The numbers behind it.
    pub detail: String,
}

/// Judges every claim of the suite by paired differences over its seeds.
pub fn judge(results: &Results<'_>) -> Vec<ClaimOutcome> {
    results.suite.claims.iter().map(|claim| judge_one(claim, results)).collect()
}

fn judge_one(claim: &Claim, results: &Results<'_>) -> ClaimOutcome {
    let differences: Vec<f64> = results
        .suite
        .seeds
        .iter()
        .filter_map(|&seed| {
            let left = results.value(&claim.task, &claim.left, seed)?;
            let right = results.value(&claim.task, &claim.right, seed)?;
            Some(left + claim.margin - right)
        })
        .collect();
    let (verdict, detail) = match PairedDifference::of(&differences) {
        Some(difference) => (difference.verdict(), in_words(&difference, claim.margin)),
        None => {
            let pairs = differences.len();
            (Verdict::NotResolved, format!("{pairs} pairs; a verdict needs at least {FEWEST_PAIRS}"))
        }
    };
    ClaimOutcome { id: claim.id.clone(), text: claim.text.clone(), verdict, detail }
}

fn in_words(difference: &PairedDifference, margin: f64) -> String {
    let PairedDifference { pairs, mean, half_width, positive } = difference;
    let (low, high) = (mean - half_width, mean + half_width);
    let margin = if margin == 0.0 { String::new() } else { format!(" with a margin of {margin}") };
    format!(
        "{mean:+.1} points{margin}, 95 % interval {low:+.1} to {high:+.1}, above 0 in {positive} of {pairs} seeds"
    )
}
