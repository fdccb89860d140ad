//! Suites: what is written, what is run again, and that numbers do not depend on how runs are spread.

use std::path::Path;

use serde_json::Value;

use crate::support::{Ended, run_folders, text, write, xtask};

/// A suite of five small runs.
pub const SUITE: &str = r#"
title = "A miniature"
model = "assets/world-clip"
seeds = [1, 2]
tasks = { bias = { kind = "world-bias", strength = 0.9, test_images = 40 } }
runs = [{ task = "bias", once = ["zero-shot"], methods = ["finetune", "proreg"] }]

[methods]
zero-shot = { name = "zero-shot" }
finetune = { name = "finetune" }
proreg = { name = "proreg", form = "prob", alpha = 2.0 }

[training]
steps = 3
batch = 8
learning_rate = 1e-4
schedule = { decay = "constant" }
optimiser = { rule = "adam-w" }

[[claims]]
id = "gain"
text = "fine-tuning beats zero-shot"
task = "bias"
left = { method = "finetune", split = "h" }
right = { method = "zero-shot", split = "h" }
"#;

fn reproduce(suite: &str, folder: &Path, runs: &Path, more: &[&str]) -> Ended {
    let path = folder.join("mini.toml");
    write(&path, suite.as_bytes());
    xtask(&[&["reproduce", "--suite", text(&path), "--runs", text(runs)], more].concat())
}

#[test]
fn a_suite_writes_its_report_its_summary_and_every_run() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let first = reproduce(SUITE, folder.path(), &runs, &[]).with_code(0);
    assert!(first.stdout.contains("harmonic mean") && first.stdout.contains("fine-tuning beats zero-shot"));

    let report = std::fs::read_to_string(runs.join("mini/report.md")).unwrap();
    assert!(report.contains("## Claims") && report.contains("| finetune |"), "{report}");
    let summary: Value =
        serde_json::from_slice(&std::fs::read(runs.join("mini/summary.json")).unwrap()).unwrap();
    let results = summary["results"].as_array().unwrap();
    // Five runs, two splits, two metrics.
    assert_eq!(results.len(), 20);
    for key in ["suite", "task", "method", "seed", "split", "metric", "value", "seconds"] {
        assert!(results.iter().all(|result| !result[key].is_null()), "{key}");
    }
    let claim = &summary["claims"][0];
    for key in ["id", "text", "verdict", "detail"] {
        assert!(claim[key].is_string(), "{key}");
    }
    assert_eq!(claim["verdict"], "not-resolved", "two seeds resolve nothing");

    let folders = run_folders(&runs.join("mini"));
    assert_eq!(folders.len(), 5);
    for run in &folders {
        for file in ["experiment.toml", "metrics.jsonl", "timing.jsonl", "outcome.json"] {
            assert!(run.join(file).is_file(), "{} lacks {file}", run.display());
        }
        assert_eq!(run.join("adapter.safetensors").is_file(), !text(run).contains("zero-shot"));
    }

    // Finished runs are reused; one without an outcome was interrupted and runs again.
    let modified = |run: &Path| std::fs::metadata(run.join("metrics.jsonl")).unwrap().modified().unwrap();
    let before: Vec<_> = folders.iter().map(|run| modified(run)).collect();
    std::fs::remove_file(folders[0].join("outcome.json")).unwrap();
    let again = reproduce(SUITE, folder.path(), &runs, &[]).with_code(0);
    assert!(again.stderr.contains("5 runs, 4 finished before"), "{}", again.stderr);
    let after: Vec<_> = folders.iter().map(|run| modified(run)).collect();
    assert_ne!(before[0], after[0]);
    assert_eq!(before[1..], after[1..]);

    // When all have finished, nothing runs and the summary stays as it is.
    let summary = || std::fs::read(runs.join("mini/summary.json")).unwrap();
    let known = summary();
    let third = reproduce(SUITE, folder.path(), &runs, &[]).with_code(0);
    assert!(third.stderr.contains("5 runs, 5 finished before"), "{}", third.stderr);
    assert_eq!(known, summary());
}

#[test]
fn numbers_do_not_depend_on_the_folder_or_on_how_many_run_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    reproduce(SUITE, folder.path(), &one, &["--jobs", "2"]).with_code(0);
    reproduce(SUITE, folder.path(), &other, &["--jobs", "1"]).with_code(0);
    let folders = run_folders(&one.join("mini"));
    assert_eq!(folders.len(), 5);
    for run in folders {
        let twin = other.join("mini").join(run.file_name().unwrap());
        for file in ["metrics.jsonl", "experiment.toml", "adapter.safetensors"] {
            let bytes = |folder: &Path| std::fs::read(folder.join(file)).ok();
            assert_eq!(
                bytes(&run).is_none(),
                file.starts_with("adapter") && text(&run).contains("zero-shot")
            );
            assert_eq!(bytes(&run), bytes(&twin), "{file} of {}", run.display());
        }
    }
}

#[test]
fn a_run_that_fails_is_named_and_the_others_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let suite = format!(
        "{SUITE}\n[training_of.finetune]\nsteps = 8\nbatch = 8\nlearning_rate = 1e30\n\
         schedule = {{ decay = \"constant\" }}\noptimiser = {{ rule = \"sgd\" }}\n"
    );
    let ended = reproduce(&suite, folder.path(), &runs, &[]).with_code(1);
    let ended = ended.naming(&["2 of 5 runs failed", "bias finetune s1", "the loss became"]);
    assert!(ended.stdout.contains("proreg"), "{}", ended.stdout);
    let finished =
        run_folders(&runs.join("mini")).iter().filter(|run| run.join("outcome.json").is_file()).count();
    assert_eq!(finished, 3);
    assert!(runs.join("mini/summary.json").is_file());
}

#[test]
fn a_model_broken_by_its_last_step_is_a_failure_not_a_score() {
    let folder = tempfile::tempdir().unwrap();
    let suite = SUITE.replace("steps = 3", "steps = 1").replace("1e-4", "1e30").replace("adam-w", "sgd");
    let ended = reproduce(&suite, folder.path(), &folder.path().join("runs"), &[]).with_code(1);
    ended.naming(&["4 of 5 runs failed", "no numbers on the split id"]);
}

#[test]
fn an_estimate_runs_nothing_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let ended = reproduce(SUITE, folder.path(), &runs, &["--estimate"]).with_code(0);
    ended.naming(&["estimated time"]);
    assert!(run_folders(&runs.join("mini")).is_empty());
}

#[test]
fn a_variant_is_its_method_with_some_values_changed() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let suite =
        SUITE.replace("\"finetune\", \"proreg\"", "\"strong\"").replace("[[claims]]", "[[unclaimed]]");
    let suite = suite.split("[[unclaimed]]").next().unwrap().to_owned()
        + "[variants]\nstrong = { of = \"proreg\", set = [\"method.alpha=4.0\", \"training.steps=2\"] }\n";
    reproduce(&suite, folder.path(), &runs, &[]).with_code(0);
    let folders = run_folders(&runs.join("mini"));
    let strong = folders.iter().find(|run| text(run).contains("proreg")).unwrap();
    let experiment = std::fs::read_to_string(strong.join("experiment.toml")).unwrap();
    for part in ["alpha = 4.0", "form = \"prob\"", "steps = 2", "batch = 8"] {
        assert!(experiment.contains(part), "{part} in {experiment}");
    }
}

#[test]
fn mixtures_of_a_suite_become_curves_that_claims_can_name() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let suite = SUITE.replace(
        "{ method = \"finetune\", split = \"h\" }",
        "{ method = \"finetune@0.5\", split = \"ood\" }",
    ) + "[ensemble_of]\nfinetune = { space = \"weights\", shares = [0, 0.5, 1] }\nproreg = { shares = [1] }\n";
    let ended = reproduce(&suite, folder.path(), &runs, &[]).with_code(0);
    let title = "bias, finetune: share x trained + (1 - share) x zero-shot weights";
    assert!(ended.stdout.contains(title), "{}", ended.stdout);
    let report = std::fs::read_to_string(runs.join("mini/report.md")).unwrap();
    assert!(report.contains(&format!("## {title}")), "{report}");
    assert!(report.contains("| share | in-distribution | out-of-distribution | harmonic mean |"), "{report}");
    assert!(report.contains("| 0.5 |"), "{report}");
    let summary: Value =
        serde_json::from_slice(&std::fs::read(runs.join("mini/summary.json")).unwrap()).unwrap();
    let curves = summary["curves"].as_array().unwrap();
    // Four shares, two splits and their harmonic mean.
    assert_eq!(curves.len(), 12);
    assert!(curves.iter().all(|point| point["seeds"] == 2 && point["mean"].is_f64()));
    let point = |method: &str, share: f64| {
        let named = |point: &&Value| {
            point["method"] == method && point["share"].as_f64() == Some(share) && point["split"] == "ood"
        };
        curves.iter().find(named).unwrap()["mean"].as_f64().unwrap()
    };
    let mean_of = |method: &str| {
        let results = summary["results"].as_array().unwrap().iter();
        let fits = |result: &&Value| {
            result["method"] == method && result["split"] == "ood" && result["metric"] == "accuracy"
        };
        let values: Vec<f64> = results.filter(fits).map(|result| result["value"].as_f64().unwrap()).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    assert_eq!(point("finetune", 0.0), mean_of("zero-shot"));
    assert_eq!(point("finetune", 1.0), mean_of("finetune"));
    assert_eq!(point("proreg", 1.0), mean_of("proreg"));
    let detail = summary["claims"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("40 test images"), "a point without values would have no pairs: {detail}");

    // A variant has the mixtures of its method, its own in their place, or changes them.
    let varied = suite
        .replace("[\"finetune\", \"proreg\"]", "[\"finetune\", \"proreg\", \"one\", \"two\", \"three\"]")
        + "one = { shares = [0.25] }\n[variants]\none = { of = \"finetune\", set = [] }\n\
           two = { of = \"finetune\", set = [\"ensemble.space=logits\"] }\n\
           three = { of = \"finetune\", set = [\"training.steps=2\"] }\n";
    let varied = reproduce(&varied, folder.path(), &runs, &["--estimate"]).with_code(0);
    varied.naming(&["11 runs, 5 finished before"]);

    let unknown =
        reproduce(&suite.replace("finetune@0.5", "finetune@0.3"), folder.path(), &runs, &[]).refused();
    unknown.naming(&["gain: no share of ensemble_of.finetune is called `0.3`"]);
    let stray = reproduce(&suite.replace("proreg = { sh", "kd = { sh"), folder.path(), &runs, &[]).refused();
    stray.naming(&["ensemble_of: no method is called `kd`"]);
}

#[test]
fn every_shipped_suite_can_be_planned() {
    let folder = tempfile::tempdir().unwrap();
    let suites = std::fs::read_dir(crate::support::root().join("recipes/suites")).unwrap();
    for suite in suites {
        let suite = suite.unwrap().path();
        // Suites of published protocols need data; `published` plans them.
        if suite.is_dir() {
            continue;
        }
        let name = suite.file_stem().unwrap().to_str().unwrap();
        xtask(&["reproduce", "--suite", name, "--runs", text(folder.path()), "--estimate"]).with_code(0);
    }
}
