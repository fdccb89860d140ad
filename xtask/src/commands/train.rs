//! `cargo xtask train`: one method on one data set, with its scores.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use regulus_trainer::details::{Calibration, WorstGroup};
use regulus_trainer::experiment::EnsembleSpace;
use regulus_trainer::run::{self, Control, Outcome as RunOutcome, Progress, SplitScores};

use crate::commit;
use crate::facts;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interruption;
use crate::progress::{Line, clock};
use crate::request::{Request, describe};
use crate::table::Table;

/// Arguments of `cargo xtask train`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Method: the name of a recipe in recipes/methods (zero-shot, linear-probe, finetune, kd, proreg, promptsrc, r-amt,
    /// ...), or the path of a recipe file
    #[arg(long, default_value = "proreg")]
    method: String,
    #[command(flatten)]
    request: Request,
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
    let request = &arguments.request;
    let experiment = request.experiment(&arguments.method)?;
    if arguments.print {
        print!("{}", experiment.canonical_toml().map_err(Failure::request)?);
        return Ok(());
    }
    let (inputs, device) = request.inputs(&experiment)?;
    let folder = arguments.runs.join(run::folder_name(&experiment, &inputs.identity));
    if !arguments.force
        && let Some(outcome) = RunOutcome::load(&folder).map_err(Failure::request)?
    {
        println!("already finished in {}; --force runs it again", folder.display());
        print_scores(&outcome);
        return Ok(());
    }
    let materials = request.load(inputs.by_commit(commit::current()), &experiment, &device)?;
    std::fs::create_dir_all(&arguments.runs)
        .with_context(|| format!("cannot create {}", arguments.runs.display()))
        .map_err(Failure::Request)?;
    describe(&materials);
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
        checkpoint_every: Duration::from_secs(arguments.checkpoint_minutes.saturating_mul(60)),
        fresh: arguments.force,
        ..Control::watching(&mut tell, &mut note)
    };
    let outcome = run::run(&experiment, &materials, &folder, &device, control).map_err(Failure::of_run)?;
    line.finish("trained and evaluated");
    print_scores(&outcome);
    println!("wrote {}", folder.display());
    Ok(())
}

fn print_scores(outcome: &RunOutcome) {
    let differs = outcome.splits.iter().any(|split| split.scores.lacks_a_class());
    let official = differs.then(|| "official".to_owned());
    let headings = ["split", "images", "accuracy", "mean class accuracy", "macro-F1", "ECE", "ECE, scaled"]
        .map(str::to_owned);
    let mut table = Table::new(headings.into_iter().chain(official));
    for SplitScores { split, images, scores, details } in &outcome.splits {
        let percent = |value: f64| format!("{value:.2}");
        let measured = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), percent);
        let details = details.as_ref();
        let official = scores.mean_class_accuracy_official.map_or_else(|| "undefined".to_owned(), percent);
        let cells = [
            split.clone(),
            images.to_string(),
            percent(scores.accuracy),
            percent(scores.mean_class_accuracy),
            measured(details.map(|details| details.macro_f1)),
            measured(details.map(|details| details.calibration_error)),
            measured(details.and_then(|details| details.calibration_error_scaled)),
        ];
        table.row(cells.into_iter().chain(differs.then_some(official)));
    }
    let training = format!("{} training images, seed {}", outcome.training_images, outcome.seed);
    let time = clock(std::time::Duration::from_secs_f64(outcome.seconds));
    println!("{} on {} ({training}, {time}), in percent:\n{table}", outcome.method, outcome.task);
    facts::told(&outcome.facts).iter().for_each(|line| println!("{line}"));
    if differs {
        println!(
            "the official mean over classes is undefined where a class has no image; ours leaves the class out"
        );
    }
    print_groups(outcome);
    print_ensemble(outcome);
}

fn print_groups(outcome: &RunOutcome) {
    for SplitScores { split, details, .. } in &outcome.splits {
        if let Some(worst) = details.as_ref().and_then(|details| details.worst_group.as_ref()) {
            let WorstGroup { domain, class, accuracy, images } = worst;
            println!("worst group of {split}: {accuracy:.2} ({class} in {domain}, {images} images)");
        }
    }
    if let Some(Calibration { temperature, split, images }) = &outcome.calibration {
        println!("ECE is scaled with the temperature {temperature:.3}, fitted on {images} images of {split}");
    }
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
            EnsembleSpace::Weights => "weights",
        }
    );
}
