//! `cargo xtask train`: one method on one data set, with its scores.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;
use regulus_trainer::device;
use regulus_trainer::experiment::{
    EnsembleSpace, Experiment, ExperimentSpec, SpecError, apply_override, parse_toml, read_text,
};
use regulus_trainer::run::{self, Control, Inputs, Materials, Outcome as RunOutcome, Progress};

use crate::commit;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interruption;
use crate::progress::{Line, clock};
use crate::table::Table;

/// Arguments of `cargo xtask train`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Method: the name of a recipe in recipes/methods (zero-shot, linear-probe, finetune, kd, proreg, promptsrc, ...),
    /// or the path of a recipe file
    #[arg(long, default_value = "proreg")]
    method: String,
    /// Folder of images: train/<class>/*, flat <class>_<n>.<ext> files in train/ and test/, or <domain>/<class>/*;
    /// or `world` or `world-base-to-novel` for the built-in world
    #[arg(long)]
    data: String,
    /// Model folder in Hugging Face CLIPModel layout
    #[arg(long, default_value = "assets/world-clip")]
    model: PathBuf,
    /// Domains to train on, for <domain>/<class>/* folders
    #[arg(long, value_delimiter = ',')]
    train_domains: Vec<String>,
    /// Domains to test on
    #[arg(long, value_delimiter = ',')]
    test_domains: Vec<String>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Change a value of the recipe, such as training.steps=200 or method.alpha=1.5 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Device to train on: cpu, ndarray, wgpu, cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder of all runs
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// Run again from the beginning although a run of the same experiment exists, finished or not
    #[arg(long)]
    force: bool,
    /// Longest time between two checkpoints; there is one after every epoch besides
    #[arg(long, default_value_t = 15, value_name = "MINUTES")]
    checkpoint_minutes: u64,
    /// Print the experiment in full and stop
    #[arg(long)]
    print: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let experiment = experiment(arguments)?;
    if arguments.print {
        print!("{}", experiment.canonical_toml().map_err(Failure::request)?);
        return Ok(());
    }
    let device = device::by_name(&arguments.device).map_err(Failure::request)?;
    let inputs = Inputs::check(&experiment, &device::kind(&arguments.device)).map_err(Failure::request)?;
    let folder = arguments.runs.join(run::folder_name(&experiment, &inputs.identity));
    if !arguments.force
        && let Some(outcome) = RunOutcome::load(&folder).map_err(Failure::request)?
    {
        println!("already finished in {}; --force runs it again", folder.display());
        print_scores(&outcome);
        return Ok(());
    }
    let line = Mutex::new(Line::start("reading images"));
    let tell = |progress| {
        if let (Progress::Data { done, total }, Ok(mut line)) = (progress, line.lock()) {
            line.step(done, total);
        }
    };
    let inputs = inputs.by_commit(commit::current());
    let materials = inputs.load(&experiment, &device, &tell).map_err(Failure::request)?;
    if let Ok(line) = line.lock() {
        line.finish("images are in memory");
    }
    std::fs::create_dir_all(&arguments.runs)
        .with_context(|| format!("cannot create {}", arguments.runs.display()))
        .map_err(Failure::Request)?;
    print_materials(&materials);
    let mut line = Line::start("training");
    let mut tell = |progress| {
        if let Progress::Training { done, total } = progress {
            line.step(done, total);
        }
    };
    let asked = Interruption::listen()?;
    let stop = || asked.asked();
    let mut note = |message: &str| eprintln!("note: {message}");
    let control = Control {
        stop: &stop,
        checkpoint_every: Duration::from_secs(60 * arguments.checkpoint_minutes),
        fresh: arguments.force,
        ..Control::watching(&mut tell, &mut note)
    };
    let outcome = run::run(&experiment, &materials, &folder, &device, control).map_err(Failure::of_run)?;
    line.finish("trained and evaluated");
    print_scores(&outcome);
    println!("wrote {}", folder.display());
    Ok(())
}

/// The experiment that the arguments describe: the method's recipe, model, data and seed, then `--set`.
fn experiment(arguments: &Arguments) -> Outcome<Experiment> {
    let recipe = recipe_path(&arguments.method)?;
    let text = read_text(&recipe).map_err(Failure::request)?;
    let mut origin = recipe.display().to_string();
    let mut document: toml::Table = parse_toml(&text, &origin).map_err(Failure::request)?;
    let mut value = |key: &str, value: toml::Value| document.insert(key.to_owned(), value);
    value("seed", toml::Value::Integer(i64::try_from(arguments.seed).map_err(Failure::request)?));
    value("model", table([("path", text_of(&arguments.model.to_string_lossy()))]));
    value("data", data(arguments)?);
    for assignment in &arguments.set {
        apply_override(&mut document, assignment).map_err(Failure::request)?;
        origin += &format!(" with --set {assignment}");
    }
    let whole = toml::to_string(&document).map_err(Failure::request)?;
    let spec: ExperimentSpec = parse_toml(&whole, &origin).map_err(Failure::request)?;
    Experiment::check(spec).context(origin).map_err(Failure::Request)
}

fn recipe_path(method: &str) -> Outcome<PathBuf> {
    let given = PathBuf::from(method);
    if given.extension().is_some() {
        return Ok(given);
    }
    let folder = PathBuf::from("recipes/methods");
    let named = folder.join(format!("{method}.toml"));
    if named.is_file() {
        return Ok(named);
    }
    let entries = std::fs::read_dir(&folder)
        .map_err(|source| Failure::request(SpecError::Read { path: folder.clone(), source }))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    let nearest = regulus_trainer::experiment::nearest(method, names.iter().map(String::as_str));
    let hint = nearest.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"));
    let known = names.join(", ");
    Err(Failure::Request(anyhow::anyhow!("no method is called `{method}`{hint}; known are {known}")))
}

fn data(arguments: &Arguments) -> Outcome<toml::Value> {
    if let "world" | "world-base-to-novel" = arguments.data.as_str() {
        if !arguments.train_domains.is_empty() || !arguments.test_domains.is_empty() {
            let message = "the built-in world has no domains: leave out --train-domains and --test-domains";
            return Err(Failure::Request(anyhow::anyhow!(message)));
        }
        if arguments.data == "world-base-to-novel" {
            return Ok(table([("kind", text_of("world-base-to-novel"))]));
        }
        return Ok(table([("kind", text_of("world-bias")), ("strength", toml::Value::Float(0.85))]));
    }
    let list = |names: &[String]| toml::Value::Array(names.iter().map(|name| text_of(name)).collect());
    Ok(table([
        ("kind", text_of("folder")),
        ("path", text_of(&arguments.data)),
        ("train_domains", list(&arguments.train_domains)),
        ("test_domains", list(&arguments.test_domains)),
    ]))
}

fn text_of(text: &str) -> toml::Value {
    toml::Value::String(text.to_owned())
}

fn table<const N: usize>(entries: [(&str, toml::Value); N]) -> toml::Value {
    toml::Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn print_materials(materials: &Materials) {
    for notice in &materials.pretrained.notices {
        println!("note: {notice}");
    }
    if let Some(report) = &materials.report {
        println!("{report}");
    }
    let task = &materials.task;
    println!("{}: {} classes ({})", task.name, task.class_names.len(), task.class_names.join(", "));
    let tokenizer = &materials.pretrained.tokenizer;
    let unknown: Vec<String> =
        task.class_names.iter().flat_map(|name| tokenizer.unknown_words(name)).collect();
    if !unknown.is_empty() {
        println!(
            "the model has no word for {}: it reads all of them alike, so expect little of its text side",
            unknown.join(", ")
        );
    }
}

fn print_scores(outcome: &RunOutcome) {
    let mut table = Table::new(["split", "images", "accuracy", "mean class accuracy"]);
    for split in &outcome.splits {
        table.row([
            split.split.clone(),
            split.images.to_string(),
            format!("{:.2}", split.scores.accuracy),
            format!("{:.2}", split.scores.mean_class_accuracy),
        ]);
    }
    let training = format!("{} training images, seed {}", outcome.training_images, outcome.seed);
    let time = clock(std::time::Duration::from_secs_f64(outcome.seconds));
    println!("{} on {} ({training}, {time}), in percent:\n{table}", outcome.method, outcome.task);
    print_ensemble(outcome);
}

fn print_ensemble(outcome: &RunOutcome) {
    let Some(first) = outcome.ensemble.first() else { return };
    let splits = first.splits.iter().map(|split| split.split.as_str());
    let mut table = Table::new(std::iter::once("share").chain(splits));
    for mixture in &outcome.ensemble {
        let accuracies = mixture.splits.iter().map(|split| format!("{:.2}", split.scores.accuracy));
        table.row(std::iter::once(mixture.share.to_string()).chain(accuracies));
    }
    println!(
        "accuracy of share x trained + (1 - share) x zero-shot {}, in percent:\n{table}",
        match first.space {
            EnsembleSpace::Logits => "logits",
        }
    );
}
