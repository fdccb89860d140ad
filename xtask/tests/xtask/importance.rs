//! Which weights matter: what is printed, written and refused.

use std::path::Path;

use serde_json::Value;

use crate::support::{Ended, class_folders, text, xtask};

fn importance(folder: &Path, more: &[&str]) -> Ended {
    let data = folder.join("data");
    if !data.exists() {
        class_folders(&data.join("train"), &["cat", "house"], 5);
        class_folders(&data.join("test"), &["cat", "house"], 1);
    }
    xtask(&[&["importance", "--data", text(&data)], more].concat())
}

/// The importance of rows, which have to be sorted by it.
fn sorted(rows: &Value) -> Vec<f64> {
    let values: Vec<f64> =
        rows.as_array().unwrap().iter().map(|row| row["importance"].as_f64().unwrap()).collect();
    assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
    values
}

#[test]
fn gradients_are_printed_and_written_by_group_and_by_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("importance.json");
    let ended =
        importance(folder.path(), &["--by", "grad", "--batch", "4", "--out", text(&out)]).with_code(0);
    for part in
        ["mean |dCE/dW|", "8 training images in batches of 4", "attention in_proj", "more tensors", "wrote"]
    {
        assert!(ended.stdout.contains(part), "`{part}` is not in: {}", ended.stdout);
    }
    let report: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!((&report["measure"], &report["batch"]), (&"gradient".into(), &4.into()));
    assert!(report["method"].is_null());
    let (groups, tensors) = (sorted(&report["groups"]), sorted(&report["tensors"]));
    assert_eq!(groups.len(), 12);
    assert!(groups.iter().all(|value| *value > 0.0));
    let count = |rows: &Value| -> u64 {
        rows.as_array().unwrap().iter().map(|row| row["parameters"].as_u64().unwrap()).sum()
    };
    assert_eq!(count(&report["groups"]), count(&report["tensors"]));
    let in_groups: u64 =
        report["groups"].as_array().unwrap().iter().map(|group| group["tensors"].as_u64().unwrap()).sum();
    assert_eq!(in_groups, tensors.len() as u64);

    // The same again, to the last digit.
    let again = folder.path().join("again.json");
    importance(folder.path(), &["--by", "grad", "--batch", "4", "--out", text(&again)]).with_code(0);
    assert_eq!(std::fs::read(out).unwrap(), std::fs::read(again).unwrap());
}

#[test]
fn changes_are_those_of_a_fine_tune() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("change.csv");
    let quick = ["--set", "training.steps=2", "--set", "training.batch=4"];
    let delta = |more: &[&str]| importance(folder.path(), &[&["--by", "delta"], &quick[..], more].concat());
    let ended = delta(&["--out", text(&out)]).with_code(0);
    assert!(ended.stdout.contains("|W' - W| / |W| after finetune"), "{}", ended.stdout);
    let csv = std::fs::read_to_string(&out).unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("path,group,parameters,importance"));
    let row = lines.find(|line| line.starts_with("visual.conv1.weight,\"conv1\",24576,")).unwrap();
    let change: f64 = row.rsplit(',').next().unwrap().parse().unwrap();
    assert!(change > 0.0 && change < 0.1, "{change}");
    assert!(delta(&["--method", "l2-sp"]).with_code(0).stdout.contains("after l2-sp"));
    // Of the world's tests nothing is needed, so that they may have classes of their own.
    let world =
        ["importance", "--data", "world-base-to-novel", "--set", "data.test_images=10", "--by", "delta"];
    xtask(&[&world[..], &quick[..]].concat()).with_code(0);
}

#[test]
fn wrong_requests_are_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], parts: &[&str]| {
        importance(folder.path(), arguments).refused().naming(parts);
    };
    refused(&["--by", "delta", "--method", "r-amt"], &["r-amt does not train all weights", "finetune"]);
    refused(&["--by", "delta", "--method", "finetnue"], &["did you mean `finetune`?"]);
    refused(&["--by", "delta", "--batch", "4"], &["--batch", "training.batch"]);
    refused(&["--by", "grad", "--method", "finetune"], &["--method", "--by delta"]);
    refused(&["--by", "grad", "--batch", "0"], &["--batch is 0"]);
    refused(&["--by", "grad", "--out", "importance.txt"], &["importance.txt", ".json", ".csv"]);
    refused(&["--by", "grad", "--out", "no/such/folder/x.json"], &["no/such/folder"]);
    refused(&["--by", "grad", "--set", "training.steps=2"], &["training"]);
    let unknown = importance(folder.path(), &["--by", "magnitude"]).with_code(2);
    assert!(unknown.stderr.contains("grad") && unknown.stderr.contains("delta"), "{}", unknown.stderr);
}
