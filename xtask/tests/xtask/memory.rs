//! Memory and time are told before a run, and a run that cannot fit is refused with a change that makes it fit.

use std::path::Path;

use crate::reproduce::SUITE;
use crate::support::{Ended, class_folders, run_folders, text, write, xtask_allowed};

/// `train` where so much memory is allowed.
fn train(folder: &Path, allowed: &str, more: &[&str]) -> Ended {
    let (data, runs) = (folder.join("data"), folder.join("runs"));
    let always = ["train", "--data", text(&data), "--runs", text(&runs), "--set", "training.steps=1"];
    xtask_allowed(allowed, &[&always, more].concat())
}

fn with_images() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    class_folders(&data.join("train"), &["cat", "house"], 40);
    class_folders(&data.join("test"), &["cat", "house"], 1);
    folder
}

/// The bytes in `... about 12 MB ...` behind `before`.
fn megabytes(message: &str, before: &str) -> u64 {
    let (_, rest) = message.split_once(before).unwrap_or_else(|| panic!("no `{before}` in {message}"));
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn what_a_run_takes_is_told_first() {
    let folder = with_images();
    let ended = train(folder.path(), "1GB", &["--set", "training.batch=4"]).with_code(0);
    let line = ended.stdout.lines().find(|line| line.starts_with("about ")).unwrap();
    assert!(line.contains(" MB of memory and "), "{line}");
    let table =
        train(folder.path(), "1GB", &["--estimate", "--set", "training.batch=64"]).with_code(0).stdout;
    for part in ["MB  model", "activations of a batch", "MB  together", "of memory and"] {
        assert!(table.contains(part), "`{part}` is not in: {table}");
    }
    assert_eq!(run_folders(&folder.path().join("runs")).len(), 1, "an estimate runs nothing");
}

#[test]
fn a_run_that_cannot_fit_is_refused_with_a_change_that_fits() {
    let folder = with_images();
    let batch = ["--set", "training.batch=64"];
    let table = train(folder.path(), "1GB", &[&batch[..], &["--estimate"]].concat()).with_code(0).stdout;
    let needed = megabytes(&table, "about ");
    let allowed = format!("{}MB", needed - 5);
    let refused = train(folder.path(), &allowed, &batch).refused();
    let message = refused.stderr.clone();
    refused.naming(&[
        &format!("needs about {needed} MB of memory, and {} MB are available", needed - 5),
        "--set training.batch=",
        "--ignore-memory",
    ]);
    assert!(run_folders(&folder.path().join("runs")).is_empty());
    // The advice is taken as it is written.
    let (_, advice) = message.split_once("available; ").unwrap();
    let (advice, _) = advice.split_once(" needs").unwrap();
    let advice: Vec<&str> = advice.split(' ').collect();
    train(folder.path(), &allowed, &advice).with_code(0);
    train(folder.path(), &allowed, &[&batch[..], &["--ignore-memory"]].concat()).with_code(0);
    assert_eq!(run_folders(&folder.path().join("runs")).len(), 2);
}

#[test]
fn what_no_change_makes_fit_is_told_too() {
    let folder = with_images();
    train(folder.path(), "1MB", &[]).refused().naming(&[
        "1 MB are available",
        "no change makes it fit",
        "saves most",
    ]);
    train(folder.path(), "plenty", &[]).refused().naming(&["REGULUS_MEMORY", "plenty", "GiB"]);
}

#[test]
fn a_suite_is_refused_with_fewer_runs_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (path, runs) = (folder.path().join("mine.toml"), folder.path().join("runs"));
    write(&path, SUITE.as_bytes());
    let reproduce = |allowed: &str, more: &[&str]| {
        let always = ["reproduce", "--suite", text(&path), "--runs", text(&runs)];
        xtask_allowed(allowed, &[&always, more].concat())
    };
    let message = reproduce("1MB", &["--jobs", "1"]).refused().stderr;
    let one = megabytes(&message, "need about ");
    let allowed = format!("{}MB", one + one / 2);
    reproduce(&allowed, &["--jobs", "2"])
        .refused()
        .naming(&["2 runs at a time need about", "--jobs 1 needs about"]);
    assert!(!runs.exists());
}

#[test]
fn prompt_learning_makes_do_with_a_budget_and_other_methods_are_refused_one() {
    let folder = with_images();
    let budget = ["--memory-budget", "1MiB", "--set", "training.batch=4", "--method"];
    train(folder.path(), "1GB", &[&budget[..], &["coop"]].concat()).with_code(0);
    let recipe = train(folder.path(), "1GB", &[&budget[..], &["coop", "--print"]].concat()).with_code(0);
    assert!(recipe.stdout.contains("memory_budget = \"1MiB\""), "{}", recipe.stdout);
    let refused = train(folder.path(), "1GB", &[&budget[..], &["finetune"]].concat()).refused();
    refused.naming(&["training.memory_budget", "promptsrc"]);
    let wrong = ["--memory-budget", "much", "--method", "coop"];
    train(folder.path(), "1GB", &wrong).refused().naming(&["`much` is no number of bytes"]);
}
