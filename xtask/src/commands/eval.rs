//! `cargo xtask eval`: the scores of an adapter on test images, or of mixtures of two.

use std::path::{Path, PathBuf};

use anyhow::Context;
use regulus_trainer::adapter::Adapter;
use regulus_trainer::experiment::{DataSpec, Experiment};
use regulus_trainer::files;
use regulus_trainer::run::{AdaptedModel, MixtureScores, Space, SplitScores, mixtures, scores};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::request::Request;
use crate::scores::{notes, table};
use crate::table::Table;

/// Arguments of `cargo xtask eval`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The adapter.safetensors of a run; a second one is mixed with the first
    #[arg(long = "adapter", required = true)]
    adapters: Vec<PathBuf>,
    #[command(flatten)]
    request: Request,
    /// What is mixed of two adapters (default: logits)
    #[arg(long, value_enum)]
    space: Option<SpaceName>,
    /// Shares of the first adapter, each from 0 to 1 (default: 0,0.25,0.5,0.75,1)
    #[arg(long, value_delimiter = ',')]
    shares: Vec<f64>,
    /// Write all numbers to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What an ensemble is a mean of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SpaceName {
    /// The logits of each image
    Logits,
    /// The trained values
    Weights,
}

const SHARES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

pub fn run(arguments: &Arguments) -> Outcome {
    let Plan { first: path, second } = Plan::of(arguments)?;
    let request = &arguments.request;
    let (_, device) = request.device()?;
    let adapter = Adapter::load(path, &device).map_err(Failure::request)?;
    let other = second.as_ref().map(|mixing| Adapter::load(mixing.adapter, &device)).transpose();
    let other = other.map_err(Failure::request)?;
    let experiment = request.evaluation(&adapter.card, &path.display().to_string())?;
    let templates = templates(&experiment, &adapter);
    let (inputs, device) = request.inputs(&experiment)?;
    let materials = request.load(inputs, &experiment, &device)?;
    materials.pretrained.notices.iter().for_each(|notice| eprintln!("note: {notice}"));
    let task_name = experiment.spec().data.task_name();
    let model = AdaptedModel::over(adapter, experiment, materials, templates);
    let model = model.with_context(|| path.display().to_string()).map_err(Failure::Request)?;
    let (card, task) = (&model.adapter().card, &model.materials().task);
    let result = match (&second, other) {
        (Some(mixing), Some(other)) => {
            let (kind, _) = request.device()?;
            let second = AdaptedModel::load(other, request.models(), None, &kind, &device);
            let second =
                second.with_context(|| mixing.adapter.display().to_string()).map_err(Failure::Request)?;
            let rows = mixtures(&model, &second, task, mixing.space, &mixing.shares);
            let rows = rows.map_err(Failure::request)?;
            print_mixtures(&rows, [&card.method, &second.adapter().card.method], &task_name, mixing.space);
            Scored::Mixtures { space: mixing.space, mixtures: rows }
        }
        _ => {
            let splits = scores(&model, task).with_context(|| path.display().to_string());
            let splits = splits.map_err(Failure::Request)?;
            println!("{} on {task_name}, in percent:\n{}", card.method, table(&splits));
            notes(&splits).iter().for_each(|line| println!("{line}"));
            Scored::Alone { splits }
        }
    };
    if let Some(out) = &arguments.json {
        let adapters = arguments.adapters.iter().map(|path| path.display().to_string()).collect();
        write(out, &Report { adapters, task: task_name, scored: result })?;
    }
    Ok(())
}

/// A checked request.
struct Plan<'a> {
    first: &'a Path,
    second: Option<Mixing<'a>>,
}

struct Mixing<'a> {
    adapter: &'a Path,
    space: Space,
    shares: Vec<f64>,
}

impl<'a> Plan<'a> {
    fn of(arguments: &'a Arguments) -> Outcome<Self> {
        let wrong = |message: String| Err(Failure::Request(anyhow::anyhow!(message)));
        let Arguments { adapters, space, shares, .. } = arguments;
        if let Some(share) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            return wrong(format!("--shares: {share} is no share; expected 0 to 1"));
        }
        match adapters.as_slice() {
            [_] if space.is_some() || !shares.is_empty() => {
                wrong("--space and --shares are for two adapters; give --adapter twice".into())
            }
            [first] => Ok(Self { first, second: None }),
            [first, adapter] => {
                let space = match space {
                    Some(SpaceName::Weights) => Space::Weights,
                    Some(SpaceName::Logits) | None => Space::Logits,
                };
                let shares = if shares.is_empty() { SHARES.to_vec() } else { shares.clone() };
                Ok(Self { first, second: Some(Mixing { adapter, space, shares }) })
            }
            more => wrong(format!("{} adapters are given; expected one or two", more.len())),
        }
    }
}

/// Those of a folder, which are the adapter's unless they were set; for the world's data, the adapter's.
fn templates(experiment: &Experiment, adapter: &Adapter) -> Vec<String> {
    match &experiment.spec().data {
        DataSpec::Folder { templates, .. } => templates.clone(),
        _ => adapter.card.templates.clone(),
    }
}

fn print_mixtures(rows: &[MixtureScores], methods: [&str; 2], task: &str, space: Space) {
    let Some(first) = rows.first() else { return };
    let splits = first.splits.iter().map(|split| split.split.as_str());
    let mut table = Table::new(std::iter::once("share").chain(splits));
    for MixtureScores { share, splits } in rows {
        let accuracies = splits.iter().map(|split| format!("{:.2}", split.scores.accuracy));
        table.row(std::iter::once(share.to_string()).chain(accuracies));
    }
    let [a, b] = methods;
    let space = match space {
        Space::Logits => "logits",
        Space::Weights => "weights",
    };
    println!("accuracy of share x {a} + (1 - share) x {b} {space} on {task}, in percent:\n{table}");
}

#[derive(Serialize)]
struct Report {
    adapters: Vec<String>,
    task: String,
    #[serde(flatten)]
    scored: Scored,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Scored {
    Alone { splits: Vec<SplitScores> },
    Mixtures { space: Space, mixtures: Vec<MixtureScores> },
}

fn write(out: &Path, report: &Report) -> Outcome {
    let text = serde_json::to_string_pretty(report).map_err(Failure::work)?;
    files::replace(out, (text + "\n").as_bytes())
        .with_context(|| format!("cannot write {}", out.display()))
        .map_err(Failure::Work)?;
    println!("wrote {}", out.display());
    Ok(())
}
