//! Losses, metrics, learning rates and trajectories of the methods.

use regulus_trainer::device::by_name;
use regulus_verify::{Case, CaseReport, Row, find_cases, verify};
use std::path::{Path, PathBuf};

fn golden(owner: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(owner).join("tests/golden")
}

fn report(case: &Case) -> CaseReport {
    let names = std::env::var("REGULUS_TEST_DEVICES").unwrap_or_else(|_| "flex".into());
    verify(case, &by_name(names.split(',').next().unwrap()).unwrap())
}

/// Runs all cases of a folder and returns how many there were.
fn assert_all_pass(folder: &Path) -> usize {
    let cases = find_cases(folder).unwrap();
    for case in &cases {
        let report = report(case);
        let failed: Vec<&Row> = report.rows.iter().filter(|row| !row.passed()).collect();
        assert!(report.passed(), "{}: {:?} {failed:#?}", report.name, report.failure);
    }
    cases.len()
}

#[test]
fn recorded_losses_pass() {
    assert_eq!(assert_all_pass(&golden("losses")), 5);
}

#[test]
fn recorded_trajectories_metrics_and_rates_pass() {
    assert_eq!(assert_all_pass(&golden("trainer")), TRAINED);
}

/// Trajectories, metrics and learning rates that are kept beside the trainer's tests.
const TRAINED: usize = 24;

#[test]
fn a_changed_value_fails_its_case() {
    let folder = tempfile::tempdir().unwrap();
    let rates = std::fs::read_to_string(golden("trainer").join("lr_sequences.json")).unwrap();
    let changed = rates.replacen("0.0024846104257439223", "0.0024846204257439223", 1);
    assert_ne!(rates, changed);
    std::fs::write(folder.path().join("other_name.json"), changed).unwrap();
    let cases = find_cases(folder.path()).unwrap();
    assert_eq!(cases.len(), 1);
    let report = report(&cases[0]);
    assert_eq!(report.rows.iter().filter(|row| !row.passed()).count(), 1);
}

#[test]
fn json_without_learning_rates_is_no_case() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("a.json", "{\"dassl\": []}"), ("b.json", "[1, 2]"), ("c.json", "{"), ("d.txt", "{}")]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    assert!(find_cases(folder.path()).is_err());
}
