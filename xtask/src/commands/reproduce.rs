//! `cargo xtask reproduce`: a suite of experiments, its table, and the verdict of every claim.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use regulus_clip::Pretrained;
use regulus_kernels::MatmulPrecision;
use regulus_trainer::device;
use regulus_trainer::estimate::bytes;

use crate::commit;
use crate::cost::{Need, check_together, together};
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interruption;
use crate::progress::clock;
use crate::suite::{self, Places, PlannedRun, Results, Setting, Suite};

/// Arguments of `cargo xtask reproduce`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Name of a suite in recipes/suites, or the path of a suite file
    #[arg(long, default_value = "world")]
    suite: String,
    /// Folder of all runs; the suite writes to <RUNS>/<SUITE>
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// Runs at a time (default: one per processor)
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Device to run on: cpu, ndarray, wgpu, cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder of the published data sets, for suites about them
    #[arg(long)]
    root: Option<PathBuf>,
    /// Model in place of the suite's; suites of published protocols name none
    #[arg(long)]
    model: Option<PathBuf>,
    /// Image encoder of methods that train another one than the model's
    #[arg(long)]
    backbone: Option<PathBuf>,
    /// Seeds in place of the suite's
    #[arg(long, value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Change a value of every experiment, such as training.epochs=1 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// How the CPU multiplies matrices: f32, bf16x3 (nearly as exact) or bf16; the last two are fast on processors with AMX
    #[arg(long, value_name = "MODE")]
    matmul: Option<MatmulPrecision>,
    /// Run everything again, finished or not
    #[arg(long)]
    force: bool,
    /// Print how many runs there are and how long they should take, then stop
    #[arg(long)]
    estimate: bool,
    /// Run although more memory will be needed than there is
    #[arg(long)]
    ignore_memory: bool,
}

/// Suites with more unfinished runs than this are estimated before they start.
const ESTIMATE_ABOVE: usize = 100;

pub fn run(arguments: &Arguments) -> Outcome {
    let began = Instant::now();
    let mut suite = Suite::read(&arguments.suite)?;
    let places = Places {
        root: arguments.root.clone(),
        model: arguments.model.clone(),
        backbone: arguments.backbone.clone(),
        seeds: arguments.seeds.clone(),
    };
    let missing = suite.place(&places)?;
    missing.iter().for_each(|text| eprintln!("left out, not there: {text}"));
    let matmul = arguments.matmul.map(|matmul| format!("model.matmul=\"{matmul}\""));
    let set: Vec<String> = matmul.into_iter().chain(arguments.set.iter().cloned()).collect();
    if !set.is_empty() {
        suite.notes.push(format!("Changed in every experiment: {}.", set.join(", ")));
    }
    let root = arguments.runs.join(&suite.name);
    let setting = Setting {
        root: root.clone(),
        device: arguments.device.clone(),
        force: arguments.force,
        commit: commit::current(),
        set,
    };
    let device = device::by_name(&setting.device).map_err(Failure::request)?;
    // Loaded once here, so that a damaged model is told before any run starts.
    Pretrained::load(&suite.model, &device).map_err(Failure::request)?;
    let mut runs = suite::plan(&suite, &setting)?;
    let processors = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = arguments.jobs.unwrap_or_else(processors).get();
    // Told before anything runs: a cell that the printed tables do not have.
    suite::compare(&Results { suite: &suite, runs: &runs })?;
    let needs: Vec<_> = runs.iter().filter(|run| run.finished.is_none()).map(Need::of).collect();
    let needed = together(&needs, jobs);
    if !arguments.ignore_memory && !arguments.estimate {
        check_together(&needs, jobs, &device, &setting.device)?;
    }
    std::fs::create_dir_all(&root)
        .with_context(|| format!("cannot create {}", root.display()))
        .map_err(Failure::Request)?;
    let waiting = runs.iter().filter(|run| run.finished.is_none()).count();
    eprintln!(
        "{}: {} runs, {} finished before, {jobs} at a time",
        suite.name,
        runs.len(),
        runs.len() - waiting
    );
    if waiting > 0 {
        eprintln!("about {} of memory for {} runs at a time", bytes(needed), jobs.min(waiting));
    }
    tell_stale(&runs, &setting);
    if arguments.estimate || waiting > ESTIMATE_ABOVE {
        let estimate = suite::estimate(&runs, &setting, jobs, &root.join("estimate"))?;
        match estimate {
            Some(time) => eprintln!("estimated time: {}", clock(time)),
            None => eprintln!("no estimate: nothing left that trains in the built-in world"),
        }
    }
    if arguments.estimate {
        return Ok(());
    }
    let asked = Interruption::listen()?;
    let ran = suite::run_all(&suite.name, &mut runs, &setting, jobs, &asked);
    if let Err(Failure::Stopped(_)) = ran {
        return ran;
    }
    let results = Results { suite: &suite, runs: &runs };
    let claims = suite::judge(&results);
    let comparison = suite::compare(&results)?;
    suite::print(&results, &claims, comparison.as_ref());
    suite::write(&results, &claims, comparison.as_ref(), &root)?;
    println!("wrote {} and summary.json ({})", root.join("report.md").display(), clock(began.elapsed()));
    ran
}

/// Names how many finished runs another commit of the code has made.
fn tell_stale(runs: &[PlannedRun], setting: &Setting) {
    let finished = runs.iter().filter_map(|run| run.finished.as_ref());
    let stale = finished.filter(|outcome| outcome.commit != setting.commit).count();
    if stale > 0 {
        eprintln!(
            "{stale} of the finished runs were made by another commit of the code; --force repeats them"
        );
    }
}
