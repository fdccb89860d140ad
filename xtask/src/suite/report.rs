//! What a suite shows: tables and verdicts on the terminal, `report.md` and `summary.json` on disk.

use std::path::Path;

use anyhow::Context;
use regulus_trainer::comparison::{mean, standard_deviation};
use regulus_trainer::experiment::EnsembleSpace;
use regulus_trainer::files;
use serde::Serialize;

use super::claims::ClaimOutcome;
use super::paper::{Compared, Comparison};
use super::results::{Curve, Results};
use crate::failure::{Failure, Outcome};
use crate::table::Table;

const HOW_TO_READ: &str = "Accuracy in percent, mean ± standard deviation over seeds. A seed redraws the training \
    images and the order; test images are fixed. Claims are judged by paired differences per seed with a 95 % \
    Student's t interval: it holds above 0, fails below 0, and is not resolved between. The intervals leave \
    out the variance of pre-training (all runs share one pre-trained model) and of the test images; zero-shot is one \
    number without an interval of its own. There are many claims and no correction for that: of twenty true ties, one \
    is expected to look decided.";

#[derive(Serialize)]
struct Summary<'a> {
    results: Vec<ResultEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    curves: Vec<CurveEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paper: Vec<&'a Compared>,
    claims: &'a [ClaimOutcome],
}

/// One number. `value` is in percent, `seconds` is the wall-clock time of the run it comes from.
#[derive(Serialize)]
struct ResultEntry<'a> {
    suite: &'a str,
    task: &'a str,
    method: &'a str,
    seed: u64,
    split: &'a str,
    metric: &'static str,
    value: f64,
    seconds: f64,
}

/// A point of a curve: the mixture of a trained model, with this share of it, with the zero-shot model. `mean` is the
/// accuracy of a split in percent, or the harmonic mean `h` of two, over the seeds.
#[derive(Serialize)]
struct CurveEntry {
    task: String,
    method: String,
    space: EnsembleSpace,
    share: f64,
    split: String,
    mean: f64,
    standard_deviation: f64,
    seeds: usize,
}

/// Prints tables and verdicts.
pub fn print(results: &Results<'_>, claims: &[ClaimOutcome], comparison: Option<&Comparison>) {
    println!("{}\n", results.suite.title);
    for (task, table) in results.tables() {
        println!("{task}\n{table}\n");
    }
    for curve in results.curves() {
        println!("{}\n{}\n", curve_title(&curve), results.curve_table(&curve));
    }
    if let Some(comparison) = comparison {
        println!("{}\n{}\n", paper_title(comparison), comparison.table());
    }
    if !claims.is_empty() {
        println!("{}\n", verdicts(claims));
    }
    println!("{HOW_TO_READ}");
    notes(results).iter().for_each(|note| println!("{note}"));
}

fn verdicts(claims: &[ClaimOutcome]) -> Table {
    let mut table = Table::of_words(["claim", "verdict", "measured"]);
    for claim in claims {
        table.row([claim.text.clone(), claim.verdict.to_string(), claim.detail.clone()]);
    }
    table
}

/// Writes `report.md` and `summary.json` into `root`.
pub fn write(
    results: &Results<'_>,
    claims: &[ClaimOutcome],
    comparison: Option<&Comparison>,
    root: &Path,
) -> Outcome {
    let paper = comparison.into_iter().flat_map(|comparison| &comparison.numbers).collect();
    let summary = Summary { results: entries(results), curves: points(results), paper, claims };
    let summary = serde_json::to_string_pretty(&summary).map_err(Failure::work)?;
    let report = markdown(results, claims, comparison);
    for (name, text) in [("report.md", report), ("summary.json", summary)] {
        let path = root.join(name);
        files::replace(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
            .map_err(Failure::Work)?;
    }
    Ok(())
}

fn markdown(results: &Results<'_>, claims: &[ClaimOutcome], comparison: Option<&Comparison>) -> String {
    let suite = results.suite;
    let mut text =
        format!("# {}\n\nSuite `{}`, seeds {:?}.\n\n{HOW_TO_READ}\n", suite.title, suite.name, suite.seeds);
    for (task, table) in results.tables() {
        text += &format!("\n## {task}\n\n{}", table.markdown());
    }
    for curve in results.curves() {
        text += &format!("\n## {}\n\n{}", curve_title(&curve), results.curve_table(&curve).markdown());
    }
    if let Some(comparison) = comparison {
        text += &format!("\n## {}\n\n{}", paper_title(comparison), comparison.table().markdown());
    }
    if !claims.is_empty() {
        text += &format!("\n## Claims\n\n{}", verdicts(claims).markdown());
    }
    for note in notes(results) {
        text += &format!("\n{note}\n");
    }
    text
}

fn paper_title(comparison: &Comparison) -> String {
    match &comparison.source {
        Some(source) => format!("Paper and ours ({source})"),
        None => "Paper and ours (no number is printed in the released code)".to_owned(),
    }
}

/// Notes of the suite, the data that was not there, and the values that no source gives.
fn notes(results: &Results<'_>) -> Vec<String> {
    let suite = results.suite;
    let mut notes = suite.notes.clone();
    if !suite.absent.is_empty() {
        let tasks: Vec<&str> = suite.absent.iter().map(|row| row.task.as_str()).collect();
        notes.push(format!("Left out, the data is not there: {}.", tasks.join(", ")));
    }
    let of_others = suite.provenance.iter().map(|(value, whose)| format!("{value} ({whose})"));
    let of_others: Vec<String> = of_others.collect();
    if !of_others.is_empty() {
        notes.push(format!("Not published: {}.", of_others.join("; ")));
    }
    notes
}

fn curve_title(curve: &Curve<'_>) -> String {
    let space = match curve.space {
        EnsembleSpace::Logits => "logits",
        EnsembleSpace::Weights => "weights",
    };
    format!("{}, {}: share x trained + (1 - share) x zero-shot {space}", curve.task, curve.method)
}

/// All points of all curves that have a value.
fn points(results: &Results<'_>) -> Vec<CurveEntry> {
    let mut entries = Vec::new();
    for curve in results.curves() {
        for (share, column) in
            curve.shares.iter().flat_map(|share| curve.columns.iter().map(move |c| (share, c)))
        {
            let values = results.point(&curve, share, column);
            let (Ok(number), false) = (share.parse(), values.is_empty()) else { continue };
            entries.push(CurveEntry {
                task: curve.task.to_owned(),
                method: curve.method.to_owned(),
                space: curve.space,
                share: number,
                split: column.clone(),
                mean: mean(&values),
                standard_deviation: standard_deviation(&values),
                seeds: values.len(),
            });
        }
    }
    entries
}

fn entries<'a>(results: &Results<'a>) -> Vec<ResultEntry<'a>> {
    let mut entries = Vec::new();
    for run in results.runs {
        let Some(outcome) = &run.finished else { continue };
        for split in &outcome.splits {
            let values = [
                ("accuracy", split.scores.accuracy),
                ("mean_class_accuracy", split.scores.mean_class_accuracy),
            ];
            entries.extend(values.map(|(metric, value)| ResultEntry {
                suite: &results.suite.name,
                task: &run.task,
                method: &run.method,
                seed: run.seed,
                split: &split.split,
                metric,
                value,
                seconds: outcome.seconds,
            }));
        }
    }
    entries
}
