//! Scores of adapters, alone and mixed.

use std::path::Path;

use serde_json::Value;

use super::{NEAR, QUICK, adapter, json, pictures, trained, trained_with};
use crate::support::{Ended, run_folders, text, write, xtask};

const WORLD: [&str; 4] = ["--data", "world-few-shot", "--set", "data.test_images=60"];

/// What `eval` writes of these adapters.
fn scored(folder: &Path, runs: &[&Path], more: &[&str]) -> (Ended, Value) {
    let out = folder.join("scores.json");
    let adapters: Vec<_> = runs.iter().map(|run| adapter(run)).collect();
    let given = adapters.iter().flat_map(|path| ["--adapter", text(path)]);
    let arguments: Vec<&str> = ["eval", "--json", text(&out)].into_iter().chain(given).collect();
    let ended = xtask(&[&arguments[..], more].concat()).with_code(0);
    let scores = json(&out);
    (ended, scores)
}

#[test]
fn scores_are_those_of_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let methods =
        ["r-amt", "r-amt+coop", "finetune-fresh", "promptsrc", "maple", "cocoop", "lora", "tip-adapter-f"];
    for method in methods.into_iter().chain(["prograd", "lp-ft", "tes+r-amt"]) {
        let run = trained(folder.path(), method);
        let (ended, scores) = scored(folder.path(), &[&run], &WORLD);
        let outcome = json(&run.join("outcome.json"));
        assert_eq!(scores["splits"], outcome["splits"], "{method}");
        assert!(ended.stdout.contains("mean class accuracy"), "{}", ended.stdout);
    }
    for method in ["linear-probe", "tip-adapter"] {
        let run = trained_with(folder.path(), method, &[]);
        let (_, scores) = scored(folder.path(), &[&run], &WORLD);
        assert_eq!(scores["splits"], json(&run.join("outcome.json"))["splits"], "{method}");
    }
}

/// An adapter predicts in the arithmetic that it was trained in, unless it is told otherwise.
#[test]
fn products_are_those_of_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained_with(folder.path(), "r-amt", &[&QUICK[..], &["--matmul", "bf16"]].concat());
    let outcome = json(&run.join("outcome.json"));
    assert_eq!(outcome["device"], "cpu-f32-by-bf16");
    let (_, scores) = scored(folder.path(), &[&run], &WORLD);
    assert_eq!(scores["splits"], outcome["splits"]);
    let (_, others) = scored(folder.path(), &[&run], &[&WORLD[..], &["--matmul", "f32"]].concat());
    assert_ne!(others["splits"], outcome["splits"]);
}

#[test]
fn an_encoder_of_its_own_is_loaded_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = ["--backbone", "assets/world-backbone"];
    let run = trained_with(folder.path(), "tes", &[&QUICK[..], &encoder].concat());
    let (_, scores) = scored(folder.path(), &[&run], &WORLD);
    assert_eq!(scores["splits"], json(&run.join("outcome.json"))["splits"]);
}

#[test]
fn stages_are_scored_together() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let arguments = ["train", "--method", "coop>r-amt", "--runs", text(&runs)];
    let steps = ["--set", "training.steps=3", "--set", "training.batch=8"];
    let before = ["--set", "before.training.epochs=1", "--set", "before.training.batch=8"];
    xtask(&[&arguments[..], &super::WORLD, &steps, &before, &NEAR].concat()).with_code(0);
    let run = run_folders(&runs).remove(0);
    let (_, scores) = scored(folder.path(), &[&run], &WORLD);
    assert_eq!(scores["splits"], json(&run.join("outcome.json"))["splits"]);
}

#[test]
fn classes_that_training_has_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let data = ["--data", "world-base-to-novel", "--set", "data.test_images=40"];
    let arguments = ["train", "--method", "r-amt", "--runs", text(&runs)];
    xtask(&[&arguments[..], &data, &QUICK, &NEAR].concat()).with_code(0);
    let run = run_folders(&runs).remove(0);
    let (_, scores) = scored(folder.path(), &[&run], &data);
    assert_eq!(scores["splits"], json(&run.join("outcome.json"))["splits"]);
}

/// The folder's classes are sorted, the world's are not.
#[test]
fn classes_are_matched_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (run, set) = (trained(folder.path(), "finetune-fresh"), pictures(folder.path()));
    let data = ["--data", text(&set), "--set", "data.hold_out=0"];
    let (ended, scores) = scored(folder.path(), &[&run], &data);
    let accuracy = |value: &Value| value["splits"][0]["scores"]["accuracy"].as_f64().unwrap();
    let outcome = json(&run.join("outcome.json"));
    assert!((accuracy(&scores) - accuracy(&outcome)).abs() < 1e-9, "{}", ended.stdout);
    write(&set.join("train/hammer/1.png"), &crate::support::png(32, 1));
    let path = adapter(&run);
    let refused = xtask(&[&["eval", "--adapter", text(&path)], &data[..]].concat()).with_code(2);
    refused.naming(&["finetune-fresh", "cannot read the names", "hammer", "umbrella"]);
}

#[test]
fn two_adapters_are_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let proreg = trained(folder.path(), "proreg");
    let finetune = trained(folder.path(), "finetune");
    let coop = trained(folder.path(), "coop");
    let alone = |run: &Path| scored(folder.path(), &[run], &WORLD).1["splits"].clone();
    let ends = |scores: &Value, space: &str| {
        assert_eq!(scores["space"], space);
        let rows = scores["mixtures"].as_array().unwrap();
        (rows.last().unwrap()["splits"].clone(), rows[0]["splits"].clone())
    };
    let (ended, scores) = scored(folder.path(), &[&proreg, &coop], &WORLD);
    assert_eq!(ends(&scores, "logits"), (alone(&proreg), alone(&coop)));
    let plain = ended.stdout.replace('│', "|");
    for part in ["share x proreg-prob + (1 - share) x coop logits", "| 0.25 ", "| 0.75 "] {
        assert!(plain.contains(part), "`{part}` is not in {plain}");
    }
    let weights = [&WORLD[..], &["--space", "weights", "--shares", "0,0.5,1"]].concat();
    let (_, scores) = scored(folder.path(), &[&proreg, &finetune], &weights);
    assert_eq!(ends(&scores, "weights"), (alone(&proreg), alone(&finetune)));

    let refused = |runs: [&Path; 2], parts: &[&str]| {
        let [a, b] = runs.map(adapter);
        let arguments = ["eval", "--adapter", text(&a), "--adapter", text(&b)];
        xtask(&[&arguments[..], &weights].concat()).with_code(2).naming(parts);
    };
    refused([&proreg, &coop], &["proreg-prob and coop", "--space logits"]);
    let masks = trained(folder.path(), "r-amt");
    refused([&masks, &masks], &["visual.", "mask", "--space logits"]);
    let path = adapter(&proreg);
    let one = ["eval", "--adapter", text(&path), "--data", "world"];
    xtask(&[&one[..], &["--space", "weights"]].concat()).refused().naming(&["--adapter twice"]);
    xtask(&[&one[..], &["--adapter", text(&path), "--shares", "2"]].concat())
        .refused()
        .naming(&["--shares: 2"]);
}
