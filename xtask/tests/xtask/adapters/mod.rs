//! Adapters of small runs on the built-in world: predicting, scoring, exporting.

mod eval;
mod export;
mod predict;
mod refused;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Ended, run_folders, text, xtask};

const WORLD: [&str; 6] =
    ["--data", "world-few-shot", "--set", "data.shots=2", "--set", "data.test_images=60"];
const QUICK: [&str; 4] = ["--set", "training.steps=3", "--set", "training.batch=8"];
/// Masks so near the threshold that the first step moves some across.
const NEAR: [&str; 2] = ["--set", "method.start=0.005001"];

/// The folder of a run of `method` on the world, below `folder`.
fn trained_with(folder: &Path, method: &str, more: &[&str]) -> PathBuf {
    let runs = folder.join(method);
    let arguments = ["train", "--method", method, "--runs", text(&runs)];
    xtask(&[&arguments[..], &WORLD, more].concat()).with_code(0);
    run_folders(&runs).remove(0)
}

fn trained(folder: &Path, method: &str) -> PathBuf {
    let near: &[&str] = match method {
        "r-amt" => &NEAR,
        "r-amt+coop" => &["--set", "method.parts.r-amt.start=0.005001"],
        _ => &[],
    };
    trained_with(folder, method, &[&QUICK[..], near].concat())
}

fn adapter(run: &Path) -> PathBuf {
    run.join("adapter.safetensors")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The images that [`trained`] is trained and tested on, as folders `train` and `test` of classes.
fn pictures(folder: &Path) -> PathBuf {
    let out = folder.join("pictures");
    let task = ["data", "export", "--task", "few-shot", "--shots", "2", "--test-images", "60"];
    xtask(&[&task[..], &["--out", text(&out)]].concat()).with_code(0);
    out
}

fn predict(run: &Path, more: &[&str]) -> Ended {
    xtask(&[&["predict", "--adapter", text(&adapter(run))], more].concat())
}

/// Probabilities by class of every image, by its path.
fn probabilities(ended: &Ended) -> BTreeMap<String, Vec<(String, f64)>> {
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let predictions = line["predictions"].as_array().unwrap().iter();
        let named = predictions.map(|prediction| {
            (prediction["class"].as_str().unwrap().to_owned(), prediction["probability"].as_f64().unwrap())
        });
        (line["image"].as_str().unwrap().to_owned(), named.collect())
    };
    ended.stdout.lines().map(line).collect()
}
