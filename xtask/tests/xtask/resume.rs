//! Runs that are killed, interrupted or disturbed: what was done is never lost, and the numbers are those of a run that
//! nothing disturbed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::reproduce::SUITE;
use crate::support::{program, root, run_folders, text, write};

/// Moments at which processes are killed, shared by the methods below.
fn kills() -> usize {
    std::env::var("REGULUS_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(50)
}

/// One method for each kind of state: moments of an optimiser, an aggregate over epochs, running statistics, an earlier
/// stage.
const METHODS: [&[&str]; 4] = [
    &["--data", "world", "--method", "finetune", "--set", "training.epochs=3"],
    &[
        "--data",
        "world-base-to-novel",
        "--method",
        "promptsrc",
        "--set",
        "training.epochs=4",
        "--set",
        "training.aggregation.mean=3.0",
    ],
    &["--data", "world-few-shot", "--set", "data.shots=4", "--method", "tes", "--set", "training.epochs=6"],
    &[
        "--data",
        "world-few-shot",
        "--set",
        "data.shots=4",
        "--method",
        "coop>r-amt",
        "--set",
        "before.training.epochs=4",
        "--set",
        "training.steps=8",
    ],
];

fn arguments(method: &[&str], runs: &Path) -> Vec<String> {
    let data = ["train", "--set", "data.test_images=40", "--runs", text(runs)];
    data.iter().chain(method).map(ToString::to_string).collect()
}

fn start(arguments: &[String]) -> Child {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(root()).env("RAYON_NUM_THREADS", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a process that has ended said on standard error.
fn complaints(child: &mut Child) -> String {
    std::io::read_to_string(child.stderr.take().unwrap()).unwrap()
}

fn finish(mut child: Child) {
    let said = complaints(&mut child);
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}: {said}");
}

/// Whether the process has ended by itself within `time`; it is killed otherwise.
fn ended_within(child: &mut Child, time: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < time {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}: {}", complaints(child));
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

/// Numbers that look random, in [0, 1).
fn moments() -> impl Iterator<Item = f64> {
    (1u32..).map(|number| (f64::from(number) * 0.618_033_988_749_895).fract())
}

fn only_run(runs: &Path) -> PathBuf {
    let [run] = <[PathBuf; 1]>::try_from(run_folders(runs)).unwrap();
    run
}

fn assert_same_results(one: &Path, other: &Path) {
    for file in ["metrics.jsonl", "adapter.safetensors", "experiment.toml"] {
        let bytes = |folder: &Path| std::fs::read(folder.join(file)).unwrap();
        assert!(bytes(one) == bytes(other), "{file} of {} differs", other.display());
    }
    let leftover = |name: &str| other.join(name).exists();
    assert!(!leftover("checkpoint-a.safetensors") && !leftover("checkpoint-b.safetensors"));
}

#[test]
fn a_killed_training_goes_on_with_the_same_bits() {
    for method in METHODS {
        let folder = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let whole = folder.path().join("whole");
        finish(start(&arguments(method, &whole)));
        let length = began.elapsed();
        let (mut killed, mut finished) = (0, 0);
        let mut moments = moments();
        while killed < kills().div_ceil(2 * METHODS.len()) {
            let runs = folder.path().join(format!("killed-{finished}"));
            // The later the moment, the more of the run is behind: some processes finish.
            let moment = length.mul_f64(moments.next().unwrap());
            match ended_within(&mut start(&arguments(method, &runs)), moment) {
                true => finished += 1,
                false => killed += 1,
            }
        }
        for number in 0..=finished {
            let runs = folder.path().join(format!("killed-{number}"));
            finish(start(&arguments(method, &runs)));
            assert_same_results(&only_run(&whole), &only_run(&runs));
        }
    }
}

#[test]
fn a_killed_suite_goes_on_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let suite = folder.path().join("mini.toml");
    write(&suite, SUITE.as_bytes());
    let arguments = |runs: &Path| -> Vec<String> {
        ["reproduce", "--suite", text(&suite), "--runs", text(runs)].map(str::to_owned).into()
    };
    let whole = folder.path().join("whole");
    let began = Instant::now();
    finish(start(&arguments(&whole)));
    let length = began.elapsed();
    let (mut killed, mut finished) = (0, 0);
    let mut moments = moments();
    while killed < kills().div_ceil(2) {
        let runs = folder.path().join(format!("killed-{finished}"));
        let moment = length.mul_f64(moments.next().unwrap());
        match ended_within(&mut start(&arguments(&runs)), moment) {
            true => finished += 1,
            false => killed += 1,
        }
    }
    for number in 0..=finished {
        let runs = folder.path().join(format!("killed-{number}"));
        finish(start(&arguments(&runs)));
        let expected = run_folders(&whole.join("mini"));
        assert_eq!(expected.len(), 5);
        for run in expected {
            let twin = runs.join("mini").join(run.file_name().unwrap());
            let metrics = |folder: &Path| std::fs::read(folder.join("metrics.jsonl")).unwrap();
            assert!(metrics(&run) == metrics(&twin), "{}", twin.display());
        }
    }
}

/// More than anyone waits for.
const LONG: [&str; 6] = ["--data", "world", "--method", "finetune", "--set", "training.epochs=2000"];

/// Waits until a training has left both its checkpoints.
fn run_under_way(runs: &Path) -> PathBuf {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(120) {
        if let [run] = run_folders(runs).as_slice()
            && run.join("checkpoint-b.safetensors").is_file()
        {
            return run.clone();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no checkpoint came");
}

fn again(runs: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(arguments(&LONG, runs)).current_dir(root()).stdin(Stdio::null());
    command
}

#[cfg(unix)]
pub fn interrupt(child: &Child) {
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(sent.success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_a_second_process_is_kept_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(&arguments(&LONG, folder.path()));
    let run = run_under_way(folder.path());

    let second = again(folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains("another process is working on") && told.contains(text(&run)), "{told}");

    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));

    // One checkpoint is damaged, and the other is used; what is saved on the way takes the damaged one's place.
    for name in ["checkpoint-a.safetensors", "checkpoint-b.safetensors"] {
        let path = run.join(name);
        let mut damaged = std::fs::read(&path).unwrap();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let mut child = again(folder.path()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let told = notes_until_going_on(&mut child);
        assert!(told.contains(name) && told.contains("its digest is wrong"), "{told}");
        interrupt(&child);
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}

/// What the process says until it goes on; the rest is read too, so that it can be written.
#[cfg(unix)]
fn notes_until_going_on(child: &mut Child) -> String {
    use std::io::{BufRead, BufReader};
    let errors = BufReader::new(child.stderr.take().unwrap());
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || errors.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let mut told = String::new();
    while let Ok(line) = lines.recv_timeout(Duration::from_secs(120)) {
        told += &format!("{line}\n");
        if line.contains("going on after step") {
            return told;
        }
    }
    panic!("the run did not go on: {told}");
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_nothing_finished_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(&arguments(&LONG, folder.path()));
    let run = run_under_way(folder.path());
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));

    // No file may grow beyond 512 KiB: what a full disk looks like to a checkpoint of 10 MB.
    let line = format!("trap '' XFSZ; ulimit -f 1024; exec {} \"$@\"", text(Path::new(&program())));
    let full = Command::new("sh")
        .args(["-c", &line, "sh"])
        .args(arguments(&LONG, folder.path()))
        .current_dir(root())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&full.stderr).into_owned();
    assert_eq!(full.status.code(), Some(1), "{told}");
    assert!(
        told.contains("cannot write the checkpoint") && told.contains("run the same command again"),
        "{told}"
    );

    let mut child = again(folder.path()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    notes_until_going_on(&mut child);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(run.join("checkpoint-a.safetensors").is_file());
}
