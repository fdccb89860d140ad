//! `cargo xtask train`: one method on one data set, with its scores.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use regulus_trainer::details::{Calibration, WorstGroup};
use regulus_trainer::experiment::EnsembleSpace;
use regulus_trainer::run::{self, Control, Forgetting, Outcome as RunOutcome, Progress, SplitScores};

use crate::commit;
use crate::cost::Cost;
use crate::facts;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interruption;
use crate::on_device::OnDevice;
use crate::progress::{Line, clock};
use crate::request::{Request, describe};
use crate::scores;
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
    /// Print the memory and the time that the run should take and stop
    #[arg(long)]
    estimate: bool,
    /// Run although more memory will be needed than there is
    #[arg(long)]
    ignore_memory: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let request = &arguments.request;
    let experiment = request.experiment(&arguments.method)?;
    if arguments.print {
        print!("{}", experiment.canonical_toml().map_err(Failure::request)?);
        return Ok(());
    }
    let (inputs, device) = request.inputs(&experiment)?;
    let cost = Cost::of(&experiment, &inputs, request.device_name())?;
    if arguments.estimate {
        println!("{}\n{}", cost.table(), cost.line(&device));
        return Ok(());
    }
    let folder = arguments.runs.join(run::folder_name(&experiment, &inputs.identity));
    if !arguments.force
        && let Some(outcome) = RunOutcome::of_finished(&folder).map_err(Failure::request)?
    {
        println!("already finished in {}; --force runs it again", folder.display());
        print_scores(&outcome);
        return Ok(());
    }
    if !arguments.ignore_memory {
        cost.check(&device, request.device_name())?;
    }
    let line = cost.line(&device);
    let on_device = OnDevice::of(&experiment, &inputs, request.device_name(), &device)?;
    let inputs = inputs.by_commit(commit::current());
    let materials = on_device.work(|| request.load(inputs, &experiment, &device))?;
    std::fs::create_dir_all(&arguments.runs)
        .with_context(|| format!("cannot create {}", arguments.runs.display()))
        .map_err(Failure::Request)?;
    println!("{line}");
    describe(&materials);
    let mut progress = Line::start("training");
    let mut tell = |seen| {
        if let Progress::Training { done, total } = seen {
            progress.step(done, total);
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
    let outcome = on_device.run(|| run::run(&experiment, &materials, &folder, &device, control))?;
    progress.finish("trained and evaluated");
    print_scores(&outcome);
    println!("wrote {}", folder.display());
    Ok(())
}

fn print_scores(outcome: &RunOutcome) {
    let table = scores::table(&outcome.splits);
    let training = format!("{} training images, seed {}", outcome.training_images, outcome.seed);
    let time = clock(std::time::Duration::from_secs_f64(outcome.seconds));
    println!("{} on {} ({training}, {time}), in percent:\n{table}", outcome.method, outcome.task);
    facts::told(&outcome.facts).iter().for_each(|line| println!("{line}"));
    scores::notes(&outcome.splits).iter().for_each(|line| println!("{line}"));
    print_groups(outcome);
    print_forgetting(outcome);
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

fn print_forgetting(outcome: &RunOutcome) {
    for forgotten in &outcome.forgetting {
        let Forgetting { split, original, trained, images } = forgotten;
        println!(
            "zero-shot on {split}: {trained:.2} after training, {original:.2} before ({:+.2} points, {images} images)",
            -forgotten.drop()
        );
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
