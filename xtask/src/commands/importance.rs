//! `cargo xtask importance`: which weights of the image tower matter for a task.

use std::path::{Path, PathBuf};

use anyhow::Context;
use regulus_trainer::experiment::Experiment;
use regulus_trainer::files;
use regulus_trainer::methods::{GroupImportance, Importance, Measure, TensorImportance};
use regulus_trainer::run::{Materials, Progress, importance};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::progress::Line;
use crate::request::{Request, describe};
use crate::table::Table;

/// Arguments of `cargo xtask importance`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The measure
    #[arg(long, value_enum)]
    by: By,
    /// How `--by delta` fine-tunes: the name of a recipe in recipes/methods (default: finetune-frozen-text), or the path
    /// of a recipe file
    #[arg(long)]
    method: Option<String>,
    #[command(flatten)]
    request: Request,
    /// Images per gradient of `--by grad` (default: 32)
    #[arg(long)]
    batch: Option<usize>,
    /// Write all numbers to this file: groups and tensors as .json, or the tensors as .csv
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What tells that a weight matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// Mean absolute gradient of the cross-entropy at the pre-trained weights
    Grad,
    /// Relative change of the weights after a short fine-tune
    Delta,
}

/// How the weights change where nothing else is asked for: the image tower alone.
const FINE_TUNING: &str = "finetune-frozen-text";
/// Images per gradient.
const BATCH: usize = 32;
/// Tensors that the terminal shows.
const SHOWN: usize = 20;

pub fn run(arguments: &Arguments) -> Outcome {
    let out = arguments.out.as_deref().map(Target::of).transpose()?;
    let measured = measured(arguments)?;
    let experiment = &measured.experiment;
    let (inputs, device) = arguments.request.inputs(experiment)?;
    let materials = arguments.request.load(inputs, experiment, &device)?;
    describe(&materials);
    let mut line = Line::start("measuring");
    let mut tell = |progress| {
        if let Progress::Training { done, total } = progress {
            line.step(done, total);
        }
    };
    let importance = match measured.how {
        How::Gradient { batch } => importance::by_gradient(experiment, &materials, &device, batch, &mut tell),
        How::Change => importance::by_change(experiment, &materials, &device, &mut tell),
    };
    let importance = importance.map_err(Failure::work)?;
    line.finish("measured");
    print(&measured, &materials, &importance);
    if let Some(target) = out {
        target.write(&Report::of(&measured, &materials, &importance))?;
    }
    Ok(())
}

/// A checked request.
struct Measured {
    experiment: Experiment,
    how: How,
}

enum How {
    Gradient { batch: usize },
    Change,
}

fn measured(arguments: &Arguments) -> Outcome<Measured> {
    let wrong = |message: &str| Err(Failure::Request(anyhow::anyhow!("{message}")));
    match (arguments.by, &arguments.method, arguments.batch) {
        (By::Grad, Some(_), _) => {
            wrong("--method belongs to --by delta; gradients are those before training")
        }
        (By::Delta, _, Some(_)) => {
            wrong("--batch belongs to --by grad; a fine-tune has --set training.batch=N")
        }
        (By::Grad, None, Some(0)) => wrong("--batch is 0; expected at least 1"),
        (By::Grad, None, batch) => {
            let how = How::Gradient { batch: batch.unwrap_or(BATCH) };
            Ok(Measured { experiment: arguments.request.experiment("zero-shot")?, how })
        }
        (By::Delta, method, None) => {
            let experiment = arguments.request.experiment(method.as_deref().unwrap_or(FINE_TUNING))?;
            importance::check_fine_tunes(&experiment).map_err(Failure::request)?;
            Ok(Measured { experiment, how: How::Change })
        }
    }
}

fn print(measured: &Measured, materials: &Materials, importance: &Importance) {
    let images = materials.task.train.len();
    let task = measured.experiment.spec().data.task_name();
    match measured.how {
        How::Gradient { batch } => println!(
            "mean |dCE/dW| at the pre-trained weights on {task} ({images} training images in batches of {batch}):"
        ),
        How::Change => println!(
            "|W' - W| / |W| after {} on {task} ({images} training images):",
            measured.experiment.spec().method.label()
        ),
    }
    let mut table = Table::new(["weights", "tensors", "parameters", "importance"]);
    for group in importance.groups() {
        let value = number(group.importance);
        table.row([group.group.to_owned(), group.tensors.to_string(), group.parameters.to_string(), value]);
    }
    println!("{table}");
    let mut table = Table::new(["tensor", "parameters", "importance"]);
    let ranked = importance.ranked();
    for tensor in ranked.iter().take(SHOWN) {
        table.row([tensor.path.clone(), tensor.parameters.to_string(), number(tensor.importance)]);
    }
    println!("{table}");
    if let Some(more) = ranked.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        println!("and {more} more tensors; --out FILE.json or FILE.csv lists all of them");
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.3e}"))
}

/// What `--out` writes, the most important first.
#[derive(Serialize)]
struct Report<'a> {
    measure: Measure,
    task: String,
    method: Option<String>,
    seed: u64,
    training_images: usize,
    batch: Option<usize>,
    groups: Vec<GroupImportance>,
    tensors: Vec<&'a TensorImportance>,
}

impl<'a> Report<'a> {
    fn of(measured: &Measured, materials: &Materials, importance: &'a Importance) -> Self {
        let spec = measured.experiment.spec();
        let (method, batch) = match measured.how {
            How::Gradient { batch } => (None, Some(batch)),
            How::Change => (Some(spec.method.label()), None),
        };
        Self {
            measure: importance.measure,
            task: spec.data.task_name(),
            method,
            seed: spec.seed,
            training_images: materials.task.train.len(),
            batch,
            groups: importance.groups(),
            tensors: importance.ranked(),
        }
    }

    /// The tensors as comma-separated values. Paths and groups have no quotes; groups may have commas.
    fn csv(&self) -> String {
        let rows = self.tensors.iter().map(|tensor| {
            let value = tensor.importance.map_or_else(String::new, |value| value.to_string());
            format!("{},\"{}\",{},{value}\n", tensor.path, tensor.group, tensor.parameters)
        });
        std::iter::once("path,group,parameters,importance\n".to_owned()).chain(rows).collect()
    }
}

/// Where the report goes, and in which form.
struct Target<'a> {
    path: &'a Path,
    form: Form,
}

enum Form {
    Json,
    Csv,
}

impl<'a> Target<'a> {
    /// Checked before any work is done.
    fn of(path: &'a Path) -> Outcome<Self> {
        let form = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => Form::Json,
            Some("csv") => Form::Csv,
            _ => {
                let message = format!("--out {} has to end with .json or .csv", path.display());
                return Err(Failure::Request(anyhow::anyhow!(message)));
            }
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let message = format!("--out: there is no folder {}", folder.display());
            return Err(Failure::Request(anyhow::anyhow!(message)));
        }
        Ok(Self { path, form })
    }

    fn write(&self, report: &Report<'_>) -> Outcome {
        let text = match self.form {
            Form::Json => serde_json::to_string_pretty(report).map_err(Failure::work)?,
            Form::Csv => report.csv(),
        };
        files::replace(self.path, text.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))
            .map_err(Failure::Work)?;
        println!("wrote {}", self.path.display());
        Ok(())
    }
}
