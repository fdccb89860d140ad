//! Mask tuning as a user sees it.

use serde_json::Value;

use crate::support::{Ended, class_folders, root, run_folders, text, xtask};

#[test]
fn sparsity_is_printed_recorded_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (data, runs) = (folder.path().join("data"), folder.path().join("runs"));
    class_folders(&data.join("train"), &["cat", "house"], 5);
    class_folders(&data.join("test"), &["cat", "house"], 1);
    let train = || -> Ended {
        let of_recipe = ["train", "--method", "r-amt", "--data", text(&data), "--runs", text(&runs)];
        let quick =
            ["--set", "training.steps=2", "--set", "training.batch=4", "--set", "training.learning_rate=1.0"];
        xtask(&[&of_recipe[..], &quick[..]].concat()).with_code(0)
    };
    let first = train().stdout;
    assert!(first.contains("r-amt on data"), "{first}");
    let run = &run_folders(&runs)[0];
    let outcome: Value = serde_json::from_slice(&std::fs::read(run.join("outcome.json")).unwrap()).unwrap();
    let fact = |name: &str| outcome["facts"][name].as_f64().unwrap();
    assert_eq!(fact("masked_weights"), 262_144.0);
    assert!(fact("masked_weights_off") > 0.0);
    let share = format!("{:.2} % of 262,144 masked weights are off, ", fact("off_percent_of_masked"));
    let of_tower = format!("{:.2} % of all ", fact("off_percent_of_tower"));
    assert!(first.contains(&share) && first.contains(&of_tower), "{first}");
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert!(metrics.contains("{\"fact\":\"masked_weights\",\"value\":262144.0}"), "{metrics}");
    let steps = metrics.lines().filter(|line| line.contains("\"kept\":")).count();
    assert_eq!(steps, 2, "{metrics}");

    let again = train().stdout;
    assert!(again.contains("already finished") && again.contains(&share), "{again}");
}

#[test]
fn wrong_values_of_masks_are_refused() {
    let refused = |assignment: &str, parts: &[&str]| {
        let ended = xtask(&["train", "--method", "r-amt", "--data", "world", "--set", assignment]);
        ended.refused().naming(parts);
    };
    refused("method.threshold=0.01", &["method.start", "all masks would start off"]);
    refused("method.part=atention", &["did you mean `attention`?"]);
    refused("method.dropout.lamda=0.3", &["did you mean `lambda`?"]);
    refused("method.dropout.lambda=3", &["method.dropout.lambda", "0 to 1"]);
}

#[test]
fn published_recipes_are_valid_experiments() {
    let mut count = 0;
    for recipe in std::fs::read_dir(root().join("recipes/published")).unwrap() {
        let recipe = recipe.unwrap().path();
        let printed = xtask(&["train", "--data", "data", "--method", text(&recipe), "--print"]).with_code(0);
        assert!(printed.stdout.contains("[training]"), "{}", printed.stdout);
        count += 1;
    }
    assert!(count >= 5, "{count} recipes");
}
