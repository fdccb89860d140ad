//! Wrong requests: one message that names file and key, exit code 2, and nothing written.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::reproduce::SUITE;
use crate::support::{class_folders, png, root, text, write, xtask};

/// Runs `train` with these arguments and expects a refusal that names `parts` and writes nothing.
#[track_caller]
fn refused(arguments: &[&str], parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    xtask(&[&["train", "--runs", text(&runs)], arguments].concat()).refused().naming(parts);
    assert!(!runs.exists(), "something was written for {arguments:?}");
}

/// Runs `reproduce` on this suite and expects a refusal that names `parts` and writes nothing.
#[track_caller]
fn refused_suite(suite: &str, parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let (path, runs) = (folder.path().join("odd.toml"), folder.path().join("runs"));
    write(&path, suite.as_bytes());
    xtask(&["reproduce", "--suite", text(&path), "--runs", text(&runs)]).refused().naming(parts);
    assert!(!runs.exists(), "something was written for {suite}");
}

#[test]
fn wrong_paths() {
    refused(&["--data", "no/such/folder"], &["no/such/folder"]);
    refused(&["--data", "world", "--model", "no/such/model"], &["no/such/model"]);
    refused(&["--data", "world", "--method", "no/such.toml"], &["no/such.toml"]);
    let message = xtask(&["train", "--data", "world", "--method", "no/such.toml"]).stderr;
    assert_eq!(message.matches("os error").count(), 1, "a cause is told once: {message}");
}

#[test]
fn wrong_names_with_the_nearest_valid_one() {
    refused(&["--data", "world", "--method", "prorge"], &["prorge", "did you mean `proreg`?"]);
    refused(&["--data", "world", "--set", "method.alhpa=1"], &["alhpa", "did you mean `alpha`?"]);
    refused(&["--data", "world", "--device", "tpu"], &["tpu", "cpu"]);
    refused(&["--data", "world", "--train-domains", "photo"], &["world has no domains", "--train-domains"]);
    xtask(&["reproduce", "--suite", "wrold"]).refused().naming(&["wrold", "did you mean `world`?"]);
    xtask(&["reproduce", "--jobs", "0"]).refused().naming(&["--jobs"]);
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_that_is_not_compiled_in_names_its_feature() {
    refused(&["--data", "world", "--device", "cuda:0"], &["cuda:0", "--features cuda"]);
}

#[test]
fn an_unknown_key_of_a_recipe_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let recipe = std::fs::read_to_string(root().join("recipes/methods/kd.toml")).unwrap();
    write(&path, recipe.replace("learning_rate", "lerning_rate").as_bytes());
    let parts = ["mine.toml", "lerning_rate", "did you mean `learning_rate`?"];
    refused(&["--data", "world", "--method", text(&path)], &parts);
}

#[test]
fn wrong_values_are_told_together() {
    let wrong = ["--data", "world", "--set", "method.alpha=-1", "--set", "training.batch=0"];
    refused(&wrong, &["recipes/methods/proreg.toml", "method.alpha: is -1", "training.batch: is 0"]);
    refused(&["--data", "world", "--set", "data.strength=nan"], &["data.strength"]);
    refused(&["--data", "world", "--set", "training.steps=many"], &["steps"]);
    refused(&["--data", "world", "--set", "training"], &["key=value"]);
}

#[test]
fn an_unknown_key_of_a_suite_names_the_file() {
    refused_suite("titel = \"x\"", &["odd.toml", "titel", "did you mean `title`?"]);
    let key = SUITE.replace("test_images", "test_imagse");
    refused_suite(&key, &["odd.toml", "test_imagse", "did you mean `test_images`?"]);
    refused_suite("extends = \"wrold\"", &["wrold", "did you mean `world`?"]);
    refused_suite("extends = 3", &["odd.toml", "extends is 3"]);
}

#[test]
fn a_variant_needs_a_method_and_values() {
    let with = |variant: &str| format!("{SUITE}\n[variants]\nv = {variant}\n");
    let of_nothing = with(r#"{ of = "prorge", set = [] }"#);
    refused_suite(&of_nothing, &["odd.toml", "variants.v", "did you mean `proreg`?"]);
    refused_suite(&with(r#"{ of = "proreg" }"#), &["variants.v", "`set` is missing"]);
    refused_suite(&with(r#"{ of = "proreg", set = ["alpha"] }"#), &["key=value"]);
}

#[test]
fn the_names_of_a_suite_have_to_fit_together() {
    let strange = SUITE
        .replace(r#"methods = ["finetune""#, r#"methods = ["finetun""#)
        .replace(r#"split = "h""#, r#"split = "oood""#)
        .replacen(r#"task = "bias""#, r#"task = "bais""#, 1);
    let parts = ["odd.toml", "did you mean `finetune`?", "did you mean `ood`?", "did you mean `bias`?"];
    refused_suite(&strange, &parts);
}

#[test]
fn an_experiment_that_a_suite_lists_twice_is_no_second_measurement() {
    let parts = ["odd", "`bias finetune s1` is the same experiment as `bias finetune s1`"];
    refused_suite(&SUITE.replace("seeds = [1, 2]", "seeds = [1, 1]"), &parts);
}

#[test]
fn a_value_out_of_range_names_suite_task_method_and_key() {
    let parts = ["odd", "bias, proreg", "method.alpha: is -2"];
    refused_suite(&SUITE.replace("alpha = 2.0", "alpha = -2.0"), &parts);
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
    refused_suite(&SUITE.replace("assets/world-clip", text(folder.path())), &parts);
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

    let broken = data("broken");
    class_folders(&broken.join("train"), &["cat", "dog"], 2);
    write(&broken.join("train/fox/cut.png"), &png(40, 9)[..60]);
    refused(&["--data", text(&broken)], &["class `fox` has no training image left", "fox/cut.png"]);

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
