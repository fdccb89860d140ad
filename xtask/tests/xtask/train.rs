//! Training on folders of images in the three layouts, and pre-training.

use std::path::Path;

use serde_json::Value;

use crate::support::{Ended, class_folders, png, run_folders, text, write, xtask, xtask_on_threads};

const QUICK: [&str; 4] = ["--set", "training.steps=2", "--set", "training.batch=4"];

fn train(data: &Path, runs: &Path, more: &[&str]) -> Ended {
    xtask(&[&["train", "--data", text(data), "--runs", text(runs)], &QUICK[..], more].concat())
}

#[test]
fn class_folders_train_and_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (data, runs) = (folder.path().join("data"), folder.path().join("runs"));
    class_folders(&data.join("train"), &["cat", "rock_climbing"], 6);
    class_folders(&data.join("test"), &["cat", "rock_climbing"], 2);
    write(&data.join("train/cat/tiny.png"), &png(1, 0));
    let whole = png(40, 9);
    write(&data.join("train/cat/broken.png"), &whole[..whole.len() / 2]);
    let ended = train(&data, &runs, &["--method", "proreg"]).with_code(0);
    for part in ["broken.png", "cat, rock climbing", "no word for", "proreg-prob on data", "| test", "id"] {
        let plain = ended.stdout.replace('│', "|");
        assert!(plain.contains(part), "`{part}` is not in: {plain}");
    }
    let run = &run_folders(&runs)[0];
    let report = std::fs::read_to_string(run.join("data.json")).unwrap();
    assert!(report.contains("broken.png"), "{report}");
    let report: Value = serde_json::from_str(&report).unwrap();
    let used = report["images"].as_array().unwrap().iter().map(|split| split["images"].as_u64().unwrap());
    assert_eq!(used.sum::<u64>(), 17, "all but the broken one, that of one pixel too");
    // The same command again finds the finished run.
    let again = train(&data, &runs, &["--method", "proreg"]).with_code(0);
    assert!(again.stdout.contains("already finished"), "{}", again.stdout);
}

#[test]
fn mixtures_with_the_zero_shot_model_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let (data, runs) = (folder.path().join("data"), folder.path().join("runs"));
    class_folders(&data.join("train"), &["cat", "house"], 6);
    class_folders(&data.join("test"), &["cat", "house"], 2);
    let sweep = ["--method", "proreg", "--set", "ensemble.shares=[0,0.5,1]"];
    for _ in 0..2 {
        // The second time the scores come from the folder of the finished run.
        let plain = train(&data, &runs, &sweep).with_code(0).stdout.replace('│', "|");
        for part in ["share x trained", "| 0 ", "| 0.5 ", "| 1 "] {
            assert!(plain.contains(part), "`{part}` is not in: {plain}");
        }
    }
    assert_eq!(run_folders(&runs).len(), 1);
    train(&data, &runs, &["--set", "ensemble.shares=[2]"]).refused().naming(&["ensemble.shares: is 2"]);
}

#[test]
fn wise_ft_is_a_sweep_of_its_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let (data, runs) = (folder.path().join("data"), folder.path().join("runs"));
    class_folders(&data.join("train"), &["cat", "house"], 6);
    class_folders(&data.join("test"), &["cat", "house"], 2);
    let plain = train(&data, &runs, &["--method", "wise-ft"]).with_code(0).stdout.replace('│', "|");
    for part in ["share x trained + (1 - share) x zero-shot weights", "| 0 ", "| 0.1 ", "| 0.9 ", "| 1 "] {
        assert!(plain.contains(part), "`{part}` is not in: {plain}");
    }
    let outcome = std::fs::read_to_string(run_folders(&runs)[0].join("outcome.json")).unwrap();
    let outcome: Value = serde_json::from_str(&outcome).unwrap();
    let ensemble = outcome["ensemble"].as_array().unwrap();
    assert_eq!(ensemble.len(), 11);
    assert!(ensemble.iter().all(|mixture| mixture["space"] == "weights"));
    let refused =
        train(&data, &runs, &["--method", "wise-ft", "--set", "method.head.init=\"fresh\""]).refused();
    refused.naming(&["ensemble.space", "fresh head"]);
}

#[test]
fn flat_files_with_spaces_in_class_names_train() {
    let folder = tempfile::tempdir().unwrap();
    let (data, runs) = (folder.path().join("bar"), folder.path().join("runs"));
    for (split, count) in [("train", 4), ("test", 2)] {
        for (index, class) in ["pole vaulting", "fishing"].iter().enumerate() {
            for n in 0..count {
                let file = data.join(split).join(format!("{class}_{n}.png"));
                write(&file, &png(16, (index * 100 + n) as u8));
            }
        }
    }
    let ended = train(&data, &runs, &["--method", "finetune-fresh"]).with_code(0);
    assert!(ended.stdout.contains("fishing, pole vaulting"), "{}", ended.stdout);
}

#[test]
fn domains_are_held_out_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (data, runs) = (folder.path().join("pacs"), folder.path().join("runs"));
    for domain in ["photo", "sketch", "cartoon"] {
        class_folders(&data.join(domain), &["dog", "house"], 3);
    }
    let domains = ["--train-domains", "photo,cartoon", "--test-domains", "sketch", "--method", "kd"];
    let ended = train(&data, &runs, &domains).with_code(0);
    assert!(ended.stdout.contains("ood:sketch"), "{}", ended.stdout);

    let missing = train(&data, &runs, &[]).refused();
    missing.naming(&["photo", "--train-domains"]);
    let unknown = train(&data, &runs, &["--train-domains", "phot", "--test-domains", "sketch"]);
    unknown.refused().naming(&["phot", "did you mean `photo`?"]);
}

#[test]
fn every_method_recipe_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (data, runs) = (folder.path().join("data"), folder.path().join("runs"));
    class_folders(&data.join("train"), &["cat", "house"], 5);
    class_folders(&data.join("test"), &["cat", "house"], 1);
    let recipes = std::fs::read_dir(crate::support::root().join("recipes/methods")).unwrap();
    let mut count = 0;
    for recipe in recipes {
        let recipe = recipe.unwrap().path();
        let method = recipe.file_stem().unwrap().to_str().unwrap();
        let takes_steps = std::fs::read_to_string(&recipe).unwrap().contains("[training]");
        let mut arguments = vec!["train", "--data", text(&data), "--runs", text(&runs), "--method", method];
        arguments.extend(QUICK.iter().filter(|_| takes_steps));
        xtask(&arguments).with_code(0);
        count += 1;
    }
    assert!(count >= 12, "{count} recipes");
}

#[test]
fn published_recipes_are_valid() {
    let recipes = std::fs::read_dir(crate::support::root().join("recipes/published")).unwrap();
    let mut of_proreg = 0;
    for recipe in recipes {
        let recipe = recipe.unwrap().path();
        let arguments = ["train", "--data", "world", "--method", text(&recipe), "--print"];
        let printed = xtask(&arguments).with_code(0).stdout;
        if recipe.file_name().unwrap().to_str().unwrap().starts_with("proreg") {
            assert!(printed.contains("rand-augment") && printed.contains("magnitude = 9.0"), "{printed}");
            of_proreg += 1;
        }
    }
    assert!(of_proreg >= 8, "{of_proreg} recipes of ProReg");
}

#[test]
fn augmented_training_is_the_same_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    class_folders(&data.join("train"), &["cat", "house"], 6);
    class_folders(&data.join("test"), &["cat", "house"], 2);
    let steps =
        "training.augmentation=[\"rand-augment\", \"padded-crop\", \"random-resized-crop\", \"flip\"]";
    let options = ["--set", "training.epochs=1", "--set", "training.batch=4", "--set", steps];
    let metrics = |threads: usize| {
        let runs = folder.path().join(format!("runs-{threads}"));
        let arguments = ["train", "--data", text(&data), "--runs", text(&runs)];
        xtask_on_threads(threads, &[&arguments[..], &options].concat()).with_code(0);
        std::fs::read_to_string(run_folders(&runs)[0].join("metrics.jsonl")).unwrap()
    };
    let one = metrics(1);
    assert!(one.lines().count() > 2, "{one}");
    assert_eq!(one, metrics(3));
}

#[test]
fn pretraining_leaves_a_model_that_trains() {
    let folder = tempfile::tempdir().unwrap();
    let recipe =
        std::fs::read_to_string(crate::support::root().join("recipes/pretrain/world-clip.toml")).unwrap();
    let quick = recipe
        .replace("images = 40000", "images = 50")
        .replace("words_only_steps = 1000", "words_only_steps = 2")
        .replace("steps = 3000", "steps = 4")
        .replace("batch = 64", "batch = 8");
    assert_ne!(recipe, quick);
    let (path, out) = (folder.path().join("quick.toml"), folder.path().join("model"));
    write(&path, quick.as_bytes());
    let pretrain = ["pretrain", "--recipe", text(&path), "--out", text(&out)];
    let ended = xtask(&pretrain).with_code(0);
    assert!(ended.stdout.contains("painting"), "{}", ended.stdout);
    xtask(&pretrain).refused().naming(&["exists", "--force"]);
    let weights = || std::fs::read(out.join("model.safetensors")).unwrap();
    let first = weights();
    xtask(&[&pretrain[..], &["--force"]].concat()).with_code(0);
    assert!(first == weights(), "the same recipe gives the same weights");

    let data = folder.path().join("data");
    class_folders(&data.join("train"), &["cat", "house"], 3);
    let runs = folder.path().join("runs");
    train(&data, &runs, &["--model", text(&out)]).with_code(0);
}
