//! The numbers of a suite, looked up by task, method, seed and split.

use std::collections::BTreeSet;

use regulus_trainer::comparison::{harmonic_mean, mean, standard_deviation};
use regulus_trainer::experiment::EnsembleSpace;
use regulus_trainer::run::Outcome;

use super::plan::PlannedRun;
use super::spec::{Claim, Quantity, Suite};
use crate::table::Table;

/// Name of the harmonic mean of the two splits that a task sets against each other.
pub const HARMONIC: &str = "h";

/// The two splits that are set against each other, if both are there: what was trained for, and what may suffer.
pub fn contrasted(splits: &[&str]) -> Option<(&'static str, &'static str)> {
    [("id", "ood"), ("base", "novel")].into_iter().find(|(a, b)| splits.contains(a) && splits.contains(b))
}

/// A suite with its finished runs.
pub struct Results<'a> {
    /// The suite.
    pub suite: &'a Suite,
    /// Its runs; those that failed have no outcome.
    pub runs: &'a [PlannedRun],
}

impl Results<'_> {
    /// Accuracy of a split (or the harmonic mean `h`) of one seed, in percent.
    pub fn value(&self, task: &str, quantity: &Quantity, seed: u64) -> Option<f64> {
        let (method, share) = quantity.row_and_share();
        let fits =
            |run: &&PlannedRun| run.task == task && run.method == method && (run.shared || run.seed == seed);
        let outcome = self.runs.iter().find(fits)?.finished.as_ref()?;
        match quantity.split.as_str() {
            HARMONIC => {
                let (one, other) = contrasted(&split_names(outcome))?;
                Some(harmonic_mean(accuracy(outcome, share, one)?, accuracy(outcome, share, other)?))
            }
            split => accuracy(outcome, share, split),
        }
    }

    /// Images of the smallest test split of a claim's task; `None` if nothing has finished.
    pub fn fewest_images(&self, claim: &Claim) -> Option<usize> {
        let runs = self.runs.iter().filter(|run| run.task == claim.task);
        let finished = runs.filter_map(|run| run.finished.as_ref());
        finished.flat_map(|outcome| &outcome.splits).map(|split| split.images).min()
    }

    /// One value for each seed that has one.
    pub fn values(&self, task: &str, method: &str, split: &str) -> Vec<f64> {
        let quantity = Quantity { method: method.to_owned(), split: split.to_owned() };
        self.suite.seeds.iter().filter_map(|&seed| self.value(task, &quantity, seed)).collect()
    }

    /// The columns of a task: its splits, and the harmonic mean of those that it sets against each other.
    pub(super) fn columns(&self, task: &str) -> Vec<String> {
        let finished =
            self.runs.iter().filter(|run| run.task == task).filter_map(|run| run.finished.as_ref());
        let Some(outcome) = finished.into_iter().next() else { return Vec::new() };
        let splits = split_names(outcome);
        let harmonic = contrasted(&splits).map(|_| HARMONIC);
        splits.into_iter().chain(harmonic).map(str::to_owned).collect()
    }

    /// A table of mean and standard deviation for each task, in the order of the suite.
    pub fn tables(&self) -> Vec<(String, Table)> {
        let mut tasks: Vec<&String> = self.suite.runs.iter().map(|row| &row.task).collect();
        let mut seen = BTreeSet::new();
        tasks.retain(|task| seen.insert(*task));
        tasks.into_iter().map(|task| (task.clone(), self.table(task))).collect()
    }

    fn table(&self, task: &str) -> Table {
        let columns = self.columns(task);
        let headings = columns.iter().map(|name| heading(name).to_owned());
        let headings = std::iter::once("method".to_owned()).chain(headings).chain(["s/run".to_owned()]);
        let mut table = Table::new(headings);
        let rows = self.suite.runs.iter().filter(|row| row.task == task);
        for method in rows.flat_map(|row| row.once.iter().chain(&row.methods)) {
            let shared = self.runs.iter().any(|run| run.task == task && &run.method == method && run.shared);
            let cells = columns.iter().map(|column| cell(&self.values(task, method, column), shared));
            let seconds = self.seconds(task, method);
            let seconds = std::iter::once(seconds.map_or_else(|| "-".into(), |s| format!("{s:.1}")));
            table.row(std::iter::once(method.clone()).chain(cells).chain(seconds));
        }
        table
    }

    /// For each task and each of its rows with mixtures: what they score, share by share.
    pub fn curves(&self) -> Vec<Curve<'_>> {
        let rows = self.suite.runs.iter();
        let methods = rows.flat_map(|row| row.methods.iter().map(|method| (&row.task, method)));
        let mixed = methods.filter_map(|(task, method)| {
            let ensemble = self.suite.ensemble_of.get(method)?;
            Some(Curve {
                task,
                method,
                space: ensemble.space,
                columns: self.columns(task),
                shares: self.suite.shares_of(method),
            })
        });
        mixed.collect()
    }

    /// A table of mean and standard deviation for every share of a curve.
    pub fn curve_table(&self, curve: &Curve<'_>) -> Table {
        let headings = curve.columns.iter().map(|name| heading(name).to_owned());
        let mut table = Table::new(std::iter::once("share".to_owned()).chain(headings));
        for share in &curve.shares {
            let cells = curve.columns.iter().map(|column| cell(&self.point(curve, share, column), false));
            table.row(std::iter::once(share.clone()).chain(cells));
        }
        table
    }

    /// One value of a mixture for each seed that has one.
    pub fn point(&self, curve: &Curve<'_>, share: &str, column: &str) -> Vec<f64> {
        self.values(curve.task, &format!("{}@{share}", curve.method), column)
    }

    fn seconds(&self, task: &str, method: &str) -> Option<f64> {
        let runs = self.runs.iter().filter(|run| run.task == task && run.method == method);
        let seconds: Vec<f64> = runs.filter_map(|run| Some(run.finished.as_ref()?.seconds)).collect();
        (!seconds.is_empty()).then(|| mean(&seconds))
    }
}

/// The mixtures of one method with the zero-shot model on one task.
pub struct Curve<'a> {
    /// Task in the suite's words.
    pub task: &'a str,
    /// Row in the suite's words.
    pub method: &'a str,
    /// What is mixed.
    pub space: EnsembleSpace,
    /// Splits of the task, and `h` where it sets two against each other.
    pub columns: Vec<String>,
    /// Shares of the trained model.
    pub shares: Vec<String>,
}

/// Accuracy of a split in percent, of the trained model or of its mixture with the zero-shot model.
fn accuracy(outcome: &Outcome, share: Option<&str>, split: &str) -> Option<f64> {
    let Some(share) = share else { return outcome.accuracy(split) };
    let mixture = outcome.ensemble.iter().find(|mixture| mixture.share.to_string() == share)?;
    mixture.splits.iter().find(|scores| scores.split == split).map(|scores| scores.scores.accuracy)
}

fn split_names(outcome: &Outcome) -> Vec<&str> {
    outcome.splits.iter().map(|split| split.split.as_str()).collect()
}

fn heading(column: &str) -> &str {
    match column {
        "id" => "in-distribution",
        "ood" => "out-of-distribution",
        HARMONIC => "harmonic mean",
        other => other,
    }
}

fn cell(values: &[f64], shared: bool) -> String {
    match values {
        [] => "-".into(),
        [only] => format!("{only:.1}"),
        _ if shared => format!("{:.1}", values[0]),
        _ => format!("{:.1} ± {:.1}", mean(values), standard_deviation(values)),
    }
}
