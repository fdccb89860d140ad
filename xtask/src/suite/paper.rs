//! Numbers of papers beside ours, for suites of published protocols.
//!
//! What is printed in the READMEs of the official code stands in `recipes/paper-tables.json`; a suite says which cell
//! belongs to which of its rows. A cell that is not printed stays empty.

use std::collections::BTreeMap;
use std::path::Path;

use regulus_datasets::protocol::Protocol;
use regulus_trainer::comparison::{harmonic_mean, mean, standard_deviation};
use regulus_trainer::experiment::{DataSpec, read_text};
use serde::{Deserialize, Serialize};

use super::results::{HARMONIC, Results, contrasted};
use super::spec::{Quantity, RunRow};
use crate::failure::{Failure, Outcome};
use crate::table::Table;

const FILE: &str = "recipes/paper-tables.json";

/// Which printed cells belong to a suite; empty where nothing is printed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperSpec {
    /// Name of the table.
    pub table: Option<String>,
    /// Row of the table by row of the suite.
    #[serde(default)]
    pub rows: BTreeMap<String, String>,
    /// Columns of the table.
    #[serde(default)]
    pub columns: Vec<PaperColumn>,
}

/// A column of a printed table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperColumn {
    /// Its heading.
    pub column: String,
    /// The task; absent for an average over tasks.
    pub task: Option<String>,
    /// The split, or `h` for the harmonic mean.
    pub split: String,
}

#[derive(Debug, Deserialize)]
struct PaperTables {
    tables: Vec<PaperTable>,
}

#[derive(Debug, Deserialize)]
struct PaperTable {
    id: String,
    source: String,
    columns: Vec<String>,
    rows: BTreeMap<String, Vec<Option<f64>>>,
}

/// One number of a paper and ours, in percent. `paper` is `None` where nothing is printed, `mean` where nothing has
/// been measured, `difference` where either is missing or ours is over some of the data sets only.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Row of the suite.
    pub method: String,
    /// Task, or what is averaged.
    pub data: String,
    /// Split, or `h`.
    pub split: String,
    /// The printed number.
    pub paper: Option<f64>,
    /// Mean over the seeds.
    pub mean: Option<f64>,
    /// Standard deviation over the seeds.
    pub standard_deviation: Option<f64>,
    /// Number of seeds.
    pub seeds: usize,
    /// Ours minus the paper's.
    pub difference: Option<f64>,
    /// Whether this is over several tasks.
    pub average: bool,
}

/// The comparison of a suite.
pub struct Comparison {
    /// Where the printed numbers stand.
    pub source: Option<String>,
    /// The numbers, method by method.
    pub numbers: Vec<Compared>,
}

/// Compares the results of a suite with its paper; `None` if the suite is not about one.
///
/// # Errors
/// A table, row or column that the file of printed tables does not have.
pub fn compare(results: &Results<'_>) -> Outcome<Option<Comparison>> {
    let Some(spec) = &results.suite.paper else { return Ok(None) };
    let table = spec.table.as_ref().map(|id| PaperTable::read(id)).transpose()?;
    let printed = Printed { spec, table };
    printed.check()?;
    let comparer = Comparer { results, printed: &printed };
    let mut methods: Vec<&String> = Vec::new();
    for method in results.suite.runs.iter().flat_map(|row| row.once.iter().chain(&row.methods)) {
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    let numbers = methods.into_iter().flat_map(|method| comparer.of_method(method)).collect();
    Ok(Some(Comparison { source: printed.table.map(|table| table.source), numbers }))
}

impl PaperTable {
    fn read(id: &str) -> Outcome<Self> {
        let text = read_text(Path::new(FILE)).map_err(Failure::request)?;
        let tables: PaperTables = serde_json::from_str(&text)
            .map_err(|error| Failure::Request(anyhow::anyhow!("{FILE}: {error}")))?;
        let found = tables.tables.into_iter().find(|table| table.id == id);
        found.ok_or_else(|| Failure::Request(anyhow::anyhow!("paper.table: {FILE} has no table `{id}`")))
    }
}

struct Printed<'a> {
    spec: &'a PaperSpec,
    table: Option<PaperTable>,
}

impl Printed<'_> {
    fn cell(&self, method: &str, task: Option<&str>, split: &str) -> Option<f64> {
        let table = self.table.as_ref()?;
        let fits = |column: &&PaperColumn| column.task.as_deref() == task && column.split == split;
        let heading = &self.spec.columns.iter().find(fits)?.column;
        let at = table.columns.iter().position(|column| column == heading)?;
        *table.rows.get(self.spec.rows.get(method)?)?.get(at)?
    }

    fn check(&self) -> Outcome {
        let Some(table) = &self.table else { return Ok(()) };
        let row = self.spec.rows.values().find(|row| !table.rows.contains_key(*row));
        let columns = self.spec.columns.iter().map(|column| &column.column);
        let column = columns.into_iter().find(|column| !table.columns.contains(column));
        match row.or(column) {
            None => Ok(()),
            Some(name) => Err(Failure::Request(anyhow::anyhow!(
                "paper: the table {} of {FILE} has no row or column `{name}`",
                table.id
            ))),
        }
    }
}

struct Comparer<'a> {
    results: &'a Results<'a>,
    printed: &'a Printed<'a>,
}

impl Comparer<'_> {
    /// Every task and split of a method, then its averages.
    fn of_method(&self, method: &str) -> Vec<Compared> {
        let suite = self.results.suite;
        let mut numbers = Vec::new();
        let mut groups: Vec<(String, Vec<&str>, usize)> = Vec::new();
        for (row, here) in
            suite.runs.iter().map(|row| (row, true)).chain(suite.absent.iter().map(|row| (row, false)))
        {
            if !lists(row, method) {
                continue;
            }
            let group = suite.tasks.get(&row.task).and_then(group_of);
            if let Some(name) = group {
                let at = groups.iter().position(|group| group.0 == name).unwrap_or_else(|| {
                    groups.push((name, Vec::new(), 0));
                    groups.len() - 1
                });
                groups[at].2 += 1;
                groups[at].1.extend(here.then_some(row.task.as_str()));
            }
            if !here {
                continue;
            }
            for split in self.results.columns(&row.task) {
                let values = self.results.values(&row.task, method, &split);
                let paper = self.printed.cell(method, Some(&row.task), &split);
                numbers.push(compared(method, &row.task, &split, paper, &values));
            }
        }
        for (name, tasks, of) in groups.iter().filter(|(_, tasks, of)| *of > 1 && !tasks.is_empty()) {
            numbers.extend(self.averages(method, name, tasks, *of));
        }
        numbers
    }

    /// Averages over tasks for each kind of split, and the harmonic mean of two that are set against each other.
    fn averages(&self, method: &str, group: &str, tasks: &[&str], of: usize) -> Vec<Compared> {
        let complete = tasks.len() == of;
        let data = match complete {
            true => format!("average of {group}"),
            false => format!("average of {group} ({} of {of})", tasks.len()),
        };
        let mut kinds: Vec<String> = Vec::new();
        for split in tasks.iter().flat_map(|task| self.results.columns(task)) {
            let kind = kind_of(&split).to_owned();
            if kind != HARMONIC && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let per_seed = |kind: &str| -> Vec<f64> {
            let seeds = self.results.suite.seeds.iter();
            seeds.filter_map(|&seed| self.average(method, tasks, kind, seed)).collect()
        };
        let number = |split: &str, values: &[f64]| {
            let paper = self.printed.cell(method, None, split);
            let mut number = compared(method, &data, split, paper, values);
            number.average = true;
            number.difference = number.difference.filter(|_| complete);
            number
        };
        let mut numbers: Vec<Compared> = kinds.iter().map(|kind| number(kind, &per_seed(kind))).collect();
        let names: Vec<&str> = kinds.iter().map(String::as_str).collect();
        if let Some((one, other)) = contrasted(&names) {
            let (one, other) = (per_seed(one), per_seed(other));
            let each: Vec<f64> = one.iter().zip(&other).map(|(a, b)| harmonic_mean(*a, *b)).collect();
            let mut h = number(HARMONIC, &each);
            // The harmonic mean of the averages, not the average of the harmonic means of the seeds.
            h.mean = (!each.is_empty()).then(|| harmonic_mean(mean(&one), mean(&other)));
            h.difference = h.difference.and_then(|_| Some(h.mean? - h.paper?));
            numbers.push(h);
        }
        numbers
    }

    /// Mean over the tasks of the splits of a kind; `None` if a task has none for the seed.
    fn average(&self, method: &str, tasks: &[&str], kind: &str, seed: u64) -> Option<f64> {
        let mut values = Vec::new();
        for task in tasks {
            let columns = self.results.columns(task);
            let splits: Vec<&String> = columns.iter().filter(|split| kind_of(split) == kind).collect();
            let of = |split: &&String| {
                let quantity = Quantity { method: method.to_owned(), split: (*split).clone() };
                self.results.value(task, &quantity, seed)
            };
            let found: Vec<f64> = splits.iter().map(of).collect::<Option<_>>()?;
            if found.is_empty() {
                return None;
            }
            values.push(mean(&found));
        }
        Some(mean(&values))
    }
}

fn lists(row: &RunRow, method: &str) -> bool {
    row.once.iter().chain(&row.methods).any(|name| name == method)
}

/// `ood` of `ood:sketch`.
fn kind_of(split: &str) -> &str {
    split.split_once(':').map_or(split, |(kind, _)| kind)
}

/// What is averaged together: the data sets of one protocol, or the held-out domains of one data set.
fn group_of(data: &DataSpec) -> Option<String> {
    let DataSpec::Published(data) = data else { return None };
    Some(match &data.protocol {
        Protocol::OutOfDistribution { .. } => data.name.clone(),
        protocol => protocol.to_string(),
    })
}

fn compared(method: &str, data: &str, split: &str, paper: Option<f64>, values: &[f64]) -> Compared {
    let ours = (!values.is_empty()).then(|| mean(values));
    Compared {
        method: method.to_owned(),
        data: data.to_owned(),
        split: split.to_owned(),
        paper,
        mean: ours,
        standard_deviation: (values.len() > 1).then(|| standard_deviation(values)),
        seeds: values.len(),
        difference: ours.zip(paper).map(|(ours, paper)| ours - paper),
        average: false,
    }
}

impl Comparison {
    /// The numbers that are printed in the paper, and all averages; every number where nothing is printed.
    pub fn table(&self) -> Table {
        let headings = ["method", "data", "split", "paper", "ours", "difference"];
        let mut table = Table::of_words(headings);
        let shown = self
            .numbers
            .iter()
            .filter(|number| self.source.is_none() || number.average || number.paper.is_some());
        for number in shown {
            let printed = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
            let ours = match (number.mean, number.standard_deviation) {
                (Some(mean), Some(deviation)) => format!("{mean:.2} ± {deviation:.2}"),
                (mean, _) => printed(mean),
            };
            let difference = number.difference.map_or_else(String::new, |value| format!("{value:+.2}"));
            let words = [&number.method, &number.data, &number.split].map(String::clone);
            table.row(words.into_iter().chain([printed(number.paper), ours, difference]));
        }
        table
    }
}
