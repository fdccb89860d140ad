//! Wrong requests: one message that names file and key, exit code 2, and nothing written.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::support::{class_folders, png, root, text, write, xtask};

/// Runs `train` with these arguments and expects a refusal that names `parts` and writes nothing.
#[track_caller]
fn refused(arguments: &[&str], parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    xtask(&[&["train", "--runs", text(&runs)], arguments].concat()).with_code(2).naming(parts);
    assert!(!runs.exists(), "something was written for {arguments:?}");
}

#[test]
fn wrong_paths() {
    refused(&["--data", "no/such/folder"], &["no/such/folder"]);
    refused(&["--data", "world", "--model", "no/such/model"], &["no/such/model"]);
    refused(&["--data", "world", "--method", "no/such.toml"], &["no/such.toml"]);
}

#[test]
fn wrong_names_with_the_nearest_valid_one() {
    refused(&["--data", "world", "--method", "prorge"], &["prorge", "did you mean `proreg`?"]);
    refused(&["--data", "world", "--set", "method.alhpa=1"], &["alhpa", "did you mean `alpha`?"]);
    refused(&["--data", "world", "--device", "tpu"], &["tpu", "cpu"]);
    refused(&["--data", "world", "--device", "cuda:0"], &["cuda:0", "--features cuda"]);
    xtask(&["reproduce", "--suite", "wrold"]).with_code(2).naming(&["wrold", "did you mean `world`?"]);
}

#[test]
fn wrong_values_are_told_together() {
    let wrong = ["--data", "world", "--set", "method.alpha=-1", "--set", "training.batch=0"];
    refused(&wrong, &["method.alpha: is -1", "training.batch: is 0"]);
    refused(&["--data", "world", "--set", "data.strength=nan"], &["data.strength"]);
    refused(&["--data", "world", "--set", "training.steps=many"], &["steps"]);
    refused(&["--data", "world", "--set", "training"], &["key=value"]);
}

#[test]
fn an_unknown_key_of_a_suite_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.toml");
    write(&path, b"titel = \"x\"\n");
    let ended = xtask(&["reproduce", "--suite", text(&path), "--runs", text(&folder.path().join("runs"))]);
    ended.with_code(2).naming(&["odd.toml", "titel", "did you mean `title`?"]);
    assert!(!folder.path().join("runs").exists());
}

/// The shipped model with one tensor left out and another cut short.
fn damaged_model(folder: &Path) {
    let shipped = root().join("assets/world-clip");
    for file in ["config.json", "tokenizer.json", "preprocessor_config.json"] {
        std::fs::copy(shipped.join(file), folder.join(file)).unwrap();
    }
    let bytes = std::fs::read(shipped.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let kept = tensors.iter().filter(|(name, _)| *name != "logit_scale").map(|(name, view)| {
        let shape = view.shape().to_vec();
        match name {
            "text_projection.weight" => {
                let rows = &view.data()[..5 * shape[1] * 4];
                (name, TensorView::new(view.dtype(), vec![5, shape[1]], rows).unwrap())
            }
            _ => (name, TensorView::new(view.dtype(), shape, view.data()).unwrap()),
        }
    });
    safetensors::serialize_to_file(kept, None, &folder.join("model.safetensors")).unwrap();
}

#[test]
fn a_model_that_does_not_fit_lists_every_tensor() {
    let folder = tempfile::tempdir().unwrap();
    damaged_model(folder.path());
    let parts = ["model.safetensors", "logit_scale", "text_projection.weight", "[5, 128]", "[128, 128]"];
    refused(&["--data", "world", "--model", text(folder.path())], &parts);
    let suite = std::fs::read_to_string(root().join("recipes/suites/world-ci.toml")).unwrap();
    let path = folder.path().join("suite.toml");
    write(&path, suite.replace("assets/world-clip", text(folder.path())).as_bytes());
    let runs = folder.path().join("runs");
    let ended = xtask(&["reproduce", "--suite", text(&path), "--runs", text(&runs)]);
    ended.with_code(2).naming(&["logit_scale"]);
    assert!(!runs.exists());
}

#[test]
fn folders_that_are_no_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let data = |name: &str| folder.path().join(name);

    let stray = data("stray");
    class_folders(&stray.join("train"), &["cat", "dog"], 2);
    class_folders(&stray.join("test"), &["cow"], 1);
    refused(&["--data", text(&stray)], &["label outside the classes", "cow"]);

    let empty = data("empty");
    class_folders(&empty.join("train"), &["cat", "dog"], 2);
    std::fs::create_dir_all(empty.join("train/fox")).unwrap();
    refused(&["--data", text(&empty)], &["fox"]);

    let twice = data("twice");
    class_folders(&twice.join("train"), &["polar bear", "polar_bear"], 2);
    refused(&["--data", text(&twice)], &["polar bear", "polar_bear"]);

    let nothing = data("nothing");
    std::fs::create_dir_all(&nothing).unwrap();
    refused(&["--data", text(&nothing)], &["nothing"]);

    let loose = data("loose");
    write(&loose.join("picture.png"), &png(8, 0));
    refused(&["--data", text(&loose)], &["train"]);
}
