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

/// Fewest test images per split that a verdict in the built-in world may rest on.
const FEWEST_IMAGES: usize = 2_000;

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
        Some(difference) => match results.fewest_images(claim) {
            Some(images) if images < FEWEST_IMAGES => {
                (Verdict::NotResolved, format!("{images} test images; a verdict needs {FEWEST_IMAGES}"))
            }
            _ => (difference.verdict(), in_words(&difference, claim.margin)),
        },
        None => {
            let pairs = differences.len();
            (Verdict::NotResolved, format!("{pairs} pairs; a verdict needs at least {FEWEST_PAIRS}"))
        }
    };
    ClaimOutcome { id: claim.id.clone(), text: claim.text.clone(), verdict, detail }
}

fn in_words(difference: &PairedDifference, margin: f64) -> String {
    let PairedDifference { pairs, mean, half_width, positive } = difference;
    // The margin decides the verdict; what is shown is what was measured.
    let (mean, above) = (mean - margin, format!("{positive} of {pairs} seeds"));
    let (low, high) = (mean - half_width, mean + half_width);
    let allowed = if margin == 0.0 { "0".to_owned() } else { format!("{:+}", -margin) };
    format!("{mean:+.1} points, 95 % interval {low:+.1} to {high:+.1}, above {allowed} in {above}")
}
