//! Runs a plan: child processes of one thread each, as many at once as there are processors.
//!
//! Small models do not profit from threads, and a process of its own cannot take the others down.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, anyhow, bail};
use regulus_trainer::files;
use regulus_trainer::run::Outcome as RunOutcome;

use super::plan::{PlannedRun, Setting};
use super::rendered::RenderedImages;
use crate::failure::{Failure, Outcome, told};
use crate::interrupt::Interruption;
use crate::progress::Board;

/// Runs what has not finished yet, `jobs` at a time. Every run is tried; failures are told together. When asked to
/// stop, nothing new is started, and what runs saves its state.
pub fn run_all(
    title: &str,
    runs: &mut [PlannedRun],
    setting: &Setting,
    jobs: usize,
    asked: &Interruption,
) -> Outcome {
    let rendered = RenderedImages::shared_in(&setting.root);
    let waiting: Vec<&mut PlannedRun> = runs.iter_mut().filter(|run| run.finished.is_none()).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let total = waiting.len();
    let board = Mutex::new(Board::start(title, total));
    let queue: Vec<Mutex<&mut PlannedRun>> = waiting.into_iter().map(Mutex::new).collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, total) {
            scope.spawn(|| {
                while let Some(slot) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Ok(mut run) = slot.lock() else { continue };
                    if asked.asked() {
                        break;
                    }
                    let title = run.title();
                    let ended = run_one(&mut run, setting, rendered.as_ref(), &board, asked);
                    if asked.asked() && run.finished.is_none() {
                        break;
                    }
                    let what = ended
                        .as_ref()
                        .map_or_else(|error| format!("failed: {}", told(error)), |()| "done".into());
                    if let Ok(mut board) = board.lock() {
                        board.ended(&title, &what);
                    }
                    if let (Err(error), Ok(mut failures)) = (ended, failures.lock()) {
                        failures.push(format!("{title}: {}", told(&error)));
                    }
                }
            });
        }
    });
    if let Ok(board) = board.lock() {
        board.close();
    }
    if asked.asked() {
        let finished = runs.iter().filter(|run| run.finished.is_some()).count();
        let message = format!(
            "stopped: {finished} of {} runs have finished and the others are saved; run the same command again, without --force, to go on",
            runs.len()
        );
        return Err(Failure::Stopped(anyhow!(message)));
    }
    let failures = failures.into_inner().unwrap_or_default();
    if failures.is_empty() {
        return Ok(());
    }
    let (failed, list) = (failures.len(), failures.join("\n  "));
    Err(Failure::Work(anyhow!("{failed} of {total} runs failed; the others are kept:\n  {list}")))
}

fn run_one(
    run: &mut PlannedRun,
    setting: &Setting,
    rendered: Option<&RenderedImages>,
    board: &Mutex<Board>,
    asked: &Interruption,
) -> anyhow::Result<()> {
    let title = run.title();
    let bar = board.lock().ok().and_then(|board| board.run(&title));
    std::fs::create_dir_all(&run.folder).with_context(|| format!("creating {}", run.folder.display()))?;
    let spec = run.folder.join("experiment.toml");
    files::replace(&spec, run.experiment.canonical_toml()?.as_bytes())
        .with_context(|| format!("writing {}", spec.display()))?;
    let mut child = start(&spec, run, setting, rendered)?;
    // The child stops when this closes, as it does when this process ends, however it ends.
    let mut leash = child.stdin.take();
    // Read on the side: a child with much to complain about must not wait for its output to be read first.
    let errors = child.stderr.take().map(|mut errors| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // What cannot be read of the message is only lost for the report.
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    });
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if asked.asked() {
                leash.take();
            }
            let mut numbers = line.split(' ').map_while(|word| word.parse::<u64>().ok());
            if let (Some(bar), Some(done), Some(total)) = (&bar, numbers.next(), numbers.next()) {
                bar.set_length(total);
                bar.set_position(done);
            }
        }
    }
    let complaint = errors.and_then(|errors| errors.join().ok()).unwrap_or_default();
    let status = child.wait().context("waiting for the run")?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if !status.success() {
        bail!("{} ({status})", complaint.trim().trim_start_matches("error: "));
    }
    let outcome = RunOutcome::load(&run.folder)?;
    run.finished =
        Some(outcome.ok_or_else(|| anyhow!("the run left no outcome in {}", run.folder.display()))?);
    Ok(())
}

fn start(
    spec: &Path,
    run: &PlannedRun,
    setting: &Setting,
    rendered: Option<&RenderedImages>,
) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("finding this program")?;
    let rendered = rendered.map(|images| [Path::new("--rendered"), images.folder()]);
    Command::new(program)
        .arg("run-experiment")
        .arg("--spec")
        .arg(spec)
        .arg("--folder")
        .arg(&run.folder)
        .args(["--device", &setting.device])
        .args(setting.commit.iter().flat_map(|commit| ["--commit", commit]))
        .args(setting.force.then_some("--fresh"))
        .args(rendered.into_iter().flatten())
        .env("RAYON_NUM_THREADS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting a run")
}
