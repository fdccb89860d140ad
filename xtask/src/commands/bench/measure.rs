//! `cargo xtask bench step|encode|text|load`: every case in a process of its own, by turns with the peer's.
//!
//! All processes of a case are set up before the first turn, and then take one turn after the other, so that a machine
//! that is slower for a while is slower for all of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow};
use regulus_kernels::MatmulPrecision;

use super::cases::{CASES, Case, Kind};
use super::child::{Started, Turn, Worker};
use super::models::Model;
use super::peer::{Peer, PeerTurn};
use super::report::{CaseReport, Measured, PeerReport, Report};
use crate::failure::{Failure, Outcome};

/// Arguments of `cargo xtask bench step` and its siblings.
#[derive(clap::Args)]
pub struct Arguments {
    /// Sizes of the model
    #[arg(long, value_enum, default_value = "vit-b16")]
    model: Model,
    /// What to measure: all that there is if absent (may be repeated)
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// Turns that are counted
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Turns before them that are not
    #[arg(long, default_value_t = 1)]
    warmup: usize,
    /// Threads of each side (default: as many as each takes by itself)
    #[arg(long)]
    threads: Option<usize>,
    /// Also run the same cases in PyTorch, by turns
    #[arg(long)]
    peer: bool,
    /// The Python that has PyTorch
    #[arg(long, default_value = "python3")]
    python: String,
    /// How matrices are multiplied, f32, bf16x3 or bf16 (may be repeated): every case in each of them
    #[arg(long, value_name = "MODE", default_value = "f32")]
    matmul: Vec<MatmulPrecision>,
    /// Write everything that was measured into a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Between turns, so that threads of the one side that wait for more work fall asleep.
const PAUSE: Duration = Duration::from_millis(250);

pub fn run(kind: Kind, arguments: &Arguments) -> Outcome {
    let cases = chosen(kind, &arguments.cases)?;
    if arguments.runs == 0 {
        return Err(Failure::Request(anyhow!("--runs is 0; expected at least 1")));
    }
    if arguments.threads == Some(0) {
        return Err(Failure::Request(anyhow!("--threads is 0; expected at least 1, or leave it out")));
    }
    let peer = arguments.peer.then(|| Peer::find(&arguments.python)).transpose()?;
    let mut report = Report {
        build: format!(
            "Regulus {} ({})",
            env!("CARGO_PKG_VERSION"),
            if cfg!(debug_assertions) { "dev" } else { "release" }
        ),
        processor: processor(),
        processors: std::thread::available_parallelism().map_or(1, Into::into),
        threads: arguments.threads,
        model: arguments.model.name(),
        warmup: arguments.warmup,
        runs: arguments.runs,
        cases: Vec::new(),
        left_out: Vec::new(),
    };
    let folder = if kind == Kind::Load { Some(SavedModel::random(arguments.model)?) } else { None };
    for case in cases {
        let folder = folder.as_ref().map(SavedModel::path);
        let bench = Bench { case, arguments, peer: peer.as_ref(), folder };
        match bench.run()? {
            Ok(measured) => report.cases.extend(measured),
            Err(why) => {
                println!("{} is left out for {}: {why}", case.name, arguments.model.name());
                report.left_out.push((case.name.to_owned(), why));
            }
        }
    }
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report).map_err(Failure::work)?;
        let written = std::fs::write(path, text + "\n");
        written.with_context(|| format!("cannot write {}", path.display())).map_err(Failure::Work)?;
    }
    let processor = report.processor.as_deref().unwrap_or("unknown processor");
    println!("{} on {processor}, {} processors, {}", report.build, report.processors, report.model);
    report.tables().iter().for_each(|table| println!("{table}"));
    Ok(())
}

/// The cases of these names, or all of their kind.
fn chosen(kind: Kind, names: &[String]) -> Outcome<Vec<Case>> {
    let of_kind = || CASES.into_iter().filter(move |case| case.kind == kind);
    if names.is_empty() {
        return Ok(of_kind().filter(|case| !case.is_on_request()).collect());
    }
    let named = |name: &String| {
        let known: Vec<&str> = of_kind().map(|case| case.name).collect();
        of_kind().find(|case| case.name == name).ok_or_else(|| {
            Failure::Request(anyhow!("there is no case `{name}` here; known are {}", known.join(", ")))
        })
    };
    names.iter().map(named).collect()
}

/// One case and how to measure it.
struct Bench<'a> {
    case: Case,
    arguments: &'a Arguments,
    peer: Option<&'a Peer>,
    /// Folder of the model to load.
    folder: Option<&'a Path>,
}

impl Bench<'_> {
    /// What was measured in each arithmetic, or why there is no such case for the model.
    fn run(&self) -> Outcome<Result<Vec<CaseReport>, String>> {
        let Self { case, arguments, .. } = self;
        let (model, modes) = (arguments.model, &arguments.matmul);
        let mut workers = Vec::new();
        for &matmul in modes {
            match Worker::start(self.own(matmul)?, format!("the case {} in {matmul}", case.name))? {
                Started::Ready(worker) => workers.push(worker),
                Started::Unsupported(why) | Started::Missing(why) => return Ok(Err(why)),
            }
        }
        let mut forms = Vec::new();
        for (form, command) in self.peers()? {
            match Worker::start(command, format!("PyTorch's form {form}"))? {
                Started::Ready(worker) => {
                    workers.push(worker);
                    forms.push(form);
                }
                Started::Unsupported(why) | Started::Missing(why) => {
                    println!("{form} is left out of PyTorch's forms: {why}");
                }
            }
        }
        let measured = self.turns(workers)?;
        let (own, peers) = measured.split_at(modes.len().min(measured.len()));
        let (batch, classes, makes) = (case.batch(model), case.classes(model), case.makes(model));
        let reports = modes.iter().zip(own).map(|(&matmul, regulus)| {
            let compared = case.peers(matmul);
            let peers = forms.iter().zip(peers).filter(|(form, _)| compared.contains(form));
            let peers =
                peers.map(|(form, measured)| PeerReport::new(form, measured.clone(), regulus)).collect();
            let (matmul, regulus) = (matmul.to_string(), regulus.clone());
            CaseReport { name: case.name, matmul, batch, classes, makes, regulus, peers }
        });
        Ok(Ok(reports.collect()))
    }

    /// Lets the workers take turns, one after the other, and ends them.
    fn turns(&self, mut workers: Vec<Worker>) -> Outcome<Vec<Measured>> {
        let Self { case, arguments, .. } = self;
        let mut turns: Vec<Vec<Turn>> = workers.iter().map(|_| Vec::new()).collect();
        let alone = workers.len() == 1;
        for round in 0..arguments.warmup.saturating_add(arguments.runs) {
            for (worker, turns) in workers.iter_mut().zip(&mut turns) {
                if !alone {
                    std::thread::sleep(PAUSE);
                }
                let turn = worker.turn()?;
                if round >= arguments.warmup {
                    turns.push(turn);
                }
            }
        }
        let (_, made) = case.makes(arguments.model);
        let ended = workers.into_iter().zip(turns).map(|(worker, turns)| {
            let by = worker.by.clone();
            Ok(Measured::of(by, &turns, made, worker.end()?))
        });
        ended.collect()
    }

    /// What starts this program with the case.
    fn own(&self, matmul: MatmulPrecision) -> Outcome<Command> {
        let program = std::env::current_exe().context("finding this program").map_err(Failure::Work)?;
        let mut command = Command::new(program);
        command.args(["bench", "case", "--case", self.case.name, "--model", self.arguments.model.name()]);
        command.args(["--matmul", &matmul.to_string()]);
        if let Some(folder) = self.folder {
            command.arg("--folder").arg(folder);
        }
        if let Some(threads) = self.arguments.threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        Ok(command)
    }

    /// What starts each of the peer's forms.
    fn peers(&self) -> Outcome<Vec<(&'static str, Command)>> {
        let (Some(peer), model) = (self.peer, self.arguments.model) else { return Ok(Vec::new()) };
        let Some(sizes) = model.sizes()? else {
            println!("the script for PyTorch has no image tower of {}", model.name());
            return Ok(Vec::new());
        };
        let command = |form: &'static str| {
            let turn = PeerTurn {
                form,
                batch: self.case.batch(model),
                classes: self.case.classes(model),
                threads: self.arguments.threads,
                sizes: &sizes,
                folder: self.folder,
            };
            (form, peer.command(&turn))
        };
        let mut forms: Vec<_> =
            self.arguments.matmul.iter().flat_map(|&matmul| self.case.peers(matmul)).collect();
        forms.sort_unstable();
        forms.dedup();
        Ok(forms.into_iter().map(command).collect())
    }
}

/// A random model in a folder of its own, which goes when it is not needed any more.
struct SavedModel(PathBuf);

impl SavedModel {
    fn random(model: Model) -> Outcome<Self> {
        let device = regulus_trainer::device::by_name("cpu").map_err(Failure::request)?;
        let name = format!("regulus-bench-{}-{}", model.name(), std::process::id());
        let saved = Self(std::env::temp_dir().join(name));
        model.random(&device)?.save(&saved.0).map_err(Failure::work)?;
        Ok(saved)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SavedModel {
    fn drop(&mut self) {
        // What cannot be removed stays among the temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Name of the processor, on Linux.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
}
