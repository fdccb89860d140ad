//! The words of a suite: tasks, methods, which of them run together, and claims.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regulus_trainer::experiment::{DataSpec, EnsembleSpec, MethodSpec, Recipe, compose, nearest, parse_toml};
use regulus_trainer::training::TrainingConfig;
use serde::Deserialize;

use super::document;
use super::paper::PaperSpec;
use super::results::{HARMONIC, contrasted};
use crate::failure::{Failure, Outcome};

/// A suite as it stands in `recipes/suites/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Name of the file, filled in by [`Suite::read`].
    #[serde(skip)]
    pub name: String,
    /// What the suite shows, in one line.
    pub title: String,
    /// What a reader has to know before believing the numbers.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Model folder; published suites leave it to `--model`.
    #[serde(default)]
    pub model: PathBuf,
    /// Which model a published suite is about.
    #[serde(default)]
    pub expects: Option<String>,
    /// Which image encoder a published suite is about, where methods train another than the model's.
    #[serde(default)]
    pub expects_backbone: Option<String>,
    /// Seeds; a claim needs at least five.
    pub seeds: Vec<u64>,
    /// Data by the name of the task.
    pub tasks: BTreeMap<String, DataSpec>,
    /// Methods by the name of their row.
    pub methods: BTreeMap<String, MethodSpec>,
    /// How methods that take gradient steps are optimised, by name.
    #[serde(default)]
    pub training_of: BTreeMap<String, TrainingConfig>,
    /// Image encoders that single methods train in the place of the model's image tower, by name.
    #[serde(default)]
    pub backbone_of: BTreeMap<String, PathBuf>,
    /// Mixtures with the zero-shot model that are tested of single methods, by name.
    #[serde(default)]
    pub ensemble_of: BTreeMap<String, EnsembleSpec>,
    /// Which methods run on which task, in the order of the table.
    pub runs: Vec<RunRow>,
    /// What is claimed of the results.
    #[serde(default)]
    pub claims: Vec<Claim>,
    /// Values that no source gives, with whose they are.
    #[serde(default)]
    pub provenance: BTreeMap<String, String>,
    /// Numbers of the paper that the suite repeats.
    #[serde(default)]
    pub paper: Option<PaperSpec>,
    /// Rows whose data is not there, filled in by [`Suite::place`].
    #[serde(skip)]
    pub absent: Vec<RunRow>,
}

/// The methods of one task.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRow {
    /// Name of the task.
    pub task: String,
    /// Methods that run once for every seed.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Methods without randomness: they run once, and every seed reuses the result.
    #[serde(default)]
    pub once: Vec<String>,
    /// Method that a row runs where it is called otherwise: on each data set `proreg` is the method with its values.
    #[serde(default)]
    pub of: BTreeMap<String, String>,
}

impl RunRow {
    /// The method, or methods put together, that a row of the table runs.
    pub fn method_of<'a>(&'a self, row: &'a str) -> &'a str {
        self.of.get(row).map_or(row, String::as_str)
    }
}

/// One number of a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// Row of the table; `row@0.5` is its mixture with the zero-shot model whose share of the trained model is 0.5.
    pub method: String,
    /// Split, or `h`: the harmonic mean of `id` and `ood`, or of `base` and `novel`.
    pub split: String,
}

impl Quantity {
    /// The row, and the share of a mixture as it is written.
    pub fn row_and_share(&self) -> (&str, Option<&str>) {
        match self.method.split_once('@') {
            Some((row, share)) => (row, Some(share)),
            None => (&self.method, None),
        }
    }
}

/// "Left is above right", judged by paired differences over the seeds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Short name.
    pub id: String,
    /// The claim in words.
    pub text: String,
    /// Task on which it is judged.
    pub task: String,
    /// What is claimed to be larger.
    pub left: Quantity,
    /// What is claimed to be smaller.
    pub right: Quantity,
    /// Added to the left side, in points: "within 2 points" has a margin of 2.
    #[serde(default)]
    pub margin: f64,
}

/// The methods that a row names.
fn parts_of(row: &str) -> impl Iterator<Item = &str> {
    row.split(['+', '>']).map(str::trim)
}

impl Suite {
    /// Reads the suite called `name`, or the file of that path.
    pub fn read(name: &str) -> Outcome<Self> {
        let path = if name.ends_with(".toml") { PathBuf::from(name) } else { document::named(name)? };
        let document = document::read(&path)?;
        let text = toml::to_string(&document).map_err(Failure::request)?;
        let mut suite: Self = parse_toml(&text, &path.display().to_string()).map_err(Failure::request)?;
        suite.name = match name.ends_with(".toml") {
            true => path.file_stem().map_or_else(|| name.into(), |stem| stem.to_string_lossy().into_owned()),
            false => name.to_owned(),
        };
        suite.check(&path)?;
        Ok(suite)
    }

    /// The shares of a row's mixtures with the zero-shot model, as reports and claims write them.
    pub fn shares_of(&self, row: &str) -> Vec<String> {
        let shares = self.ensemble_of.get(row).into_iter().flat_map(|ensemble| &ensemble.shares);
        shares.map(f64::to_string).collect()
    }

    /// What a row runs: one of the suite's methods, or several put together (`a+b`, `b>a`).
    pub fn recipe_for(&self, row: &str) -> Outcome<Recipe> {
        let ensemble = self.ensemble_of.get(row).cloned();
        let Some(method) = self.methods.get(row).cloned() else {
            let composed = compose(row, |name| match self.methods.contains_key(name) {
                true => self.recipe_for(name),
                false => Err(Failure::Request(anyhow::anyhow!("no method is called `{name}`"))),
            })?;
            return Ok(Recipe { ensemble, ..composed });
        };
        let training = self.training_of.get(row).filter(|_| method.takes_steps()).cloned();
        Ok(Recipe { training, ensemble, ..Recipe::of(method) })
    }

    /// Every name that is used has to be defined; all that are not are told at once.
    fn check(&self, path: &Path) -> Outcome {
        let mut faults = Vec::new();
        let mut known = |kind: &str, name: &str, names: Vec<&str>, place: &str| {
            if !names.contains(&name) {
                let hint = nearest(name, names.iter().copied());
                let hint = hint.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"));
                faults.push(format!("{place}: no {kind} is called `{name}`{hint}"));
            }
        };
        let tasks = || self.tasks.keys().map(String::as_str).collect::<Vec<_>>();
        let methods = || self.methods.keys().map(String::as_str).collect::<Vec<_>>();
        for row in &self.runs {
            known("task", &row.task, tasks(), "runs");
            let rows = row.methods.iter().chain(&row.once);
            rows.flat_map(|name| parts_of(row.method_of(name)))
                .for_each(|name| known("method", name, methods(), "runs"));
            row.of.keys().for_each(|name| {
                let rows = row.methods.iter().chain(&row.once).map(String::as_str).collect();
                known("row of the task", name, rows, "runs.of");
            });
        }
        self.training_of.keys().for_each(|name| known("method", name, methods(), "training_of"));
        self.backbone_of.keys().for_each(|name| known("method", name, methods(), "backbone_of"));
        let rows: Vec<&String> =
            self.runs.iter().flat_map(|row| row.methods.iter().chain(&row.once)).collect();
        let mixed = || methods().into_iter().chain(rows.iter().map(|row| row.as_str())).collect();
        self.ensemble_of.keys().for_each(|name| known("method", name, mixed(), "ensemble_of"));
        for claim in &self.claims {
            known("task", &claim.task, tasks(), &claim.id);
            let rows = self.runs.iter().filter(|row| row.task == claim.task);
            let run: Vec<&str> =
                rows.flat_map(|row| row.methods.iter().chain(&row.once)).map(String::as_str).collect();
            let splits = self.tasks.get(&claim.task).and_then(DataSpec::known_splits);
            for side in [&claim.left, &claim.right] {
                let (row, share) = side.row_and_share();
                known("method of that task", row, run.clone(), &claim.id);
                if let Some(share) = share {
                    let shares = self.shares_of(row);
                    let shares: Vec<&str> = shares.iter().map(String::as_str).collect();
                    known(&format!("share of ensemble_of.{row}"), share, shares, &claim.id);
                }
                if let Some(splits) = splits {
                    let harmonic = contrasted(splits).map(|_| HARMONIC);
                    let names = splits.iter().copied().chain(harmonic).collect();
                    known("split of that task", &side.split, names, &claim.id);
                }
            }
        }
        for name in self.runs.iter().flat_map(|row| &row.once) {
            if self.methods.get(name).is_some_and(MethodSpec::depends_on_seed) {
                faults.push(format!("runs: `{name}` depends on the seed and cannot run `once`"));
            }
        }
        if self.runs.is_empty() {
            faults.push("runs: give at least one".into());
        }
        if self.seeds.is_empty() {
            faults.push("seeds: give at least one".into());
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(Failure::Request(anyhow::anyhow!("{}:\n  {}", path.display(), faults.join("\n  "))))
    }
}
