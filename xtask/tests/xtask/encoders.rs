//! TeS and plain fine-tuning of an image encoder, on the world's small and unbalanced data and on folders.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::support::{Ended, class_folders, png, root, run_folders, text, write, xtask};

/// A tiny residual network in timm's layout, for images of 32 pixels.
fn backbone(folder: &Path) -> PathBuf {
    let encoder = folder.join("encoder");
    let weights = root().join("crates/clip/tests/golden/tes_resnet/resnet.safetensors");
    write(&encoder.join("model.safetensors"), &std::fs::read(weights).unwrap());
    let config = json!({ "architecture": "resnet", "pretrained_cfg": {
        "input_size": [3, 32, 32], "crop_pct": 1.0, "interpolation": "bilinear",
    } });
    write(&encoder.join("config.json"), config.to_string().as_bytes());
    encoder
}

const QUICK: [&str; 4] = ["--set", "training.steps=2", "--set", "training.batch=8"];

fn train(runs: &Path, more: &[&str]) -> Ended {
    xtask(&[&["train", "--runs", text(runs)], &QUICK[..], more].concat())
}

const FEW: [&str; 6] = ["--data", "world-few-shot", "--set", "data.shots=2", "--set", "data.test_images=40"];

/// The tensors of the adapter of the only run under `runs`, and how many of them are buffers.
fn adapter(runs: &Path) -> (Vec<String>, usize) {
    let bytes = std::fs::read(run_folders(runs)[0].join("adapter.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let card: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["regulus"]).unwrap();
    let names = SafeTensors::deserialize(&bytes).unwrap().names().into_iter().map(String::from).collect();
    (names, card["buffers"].as_array().map_or(0, Vec::len))
}

#[test]
fn tes_trains_a_backbone_and_clips_own_tower() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = backbone(folder.path());
    let (on_backbone, on_clip) = (folder.path().join("backbone"), folder.path().join("clip"));
    let tes = [&["--method", "tes"], &FEW[..]].concat();
    let ended = train(&on_backbone, &[&tes[..], &["--backbone", text(&encoder)]].concat()).with_code(0);
    for part in
        ["image encoder:", "world-few-shot-2: 20 classes", "tes on world-few-shot-2", "40 training images"]
    {
        assert!(ended.stdout.contains(part), "`{part}` is not in {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("official"), "{}", ended.stdout);
    let (names, buffers) = adapter(&on_backbone);
    assert!(names.iter().any(|name| name == "layer1.0.conv1.weight") && buffers > 10, "{names:?}");

    train(&on_clip, &tes).with_code(0);
    let (names, buffers) = adapter(&on_clip);
    assert!(names.iter().any(|name| name.starts_with("visual.transformer.")), "{names:?}");
    assert_eq!(buffers, 2, "the projection's");

    // Another place of the same files is the same run.
    let elsewhere = backbone(&folder.path().join("elsewhere"));
    let again = train(&on_backbone, &[&tes[..], &["--backbone", text(&elsewhere)]].concat()).with_code(0);
    assert!(again.stdout.contains("already finished"), "{}", again.stdout);
}

#[test]
fn plain_fine_tuning_takes_the_same_backbone() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = backbone(folder.path());
    let runs = folder.path().join("runs");
    let with =
        |method: &'static str| [&["--method", method, "--backbone", text(&encoder)], &FEW[..]].concat();
    train(&runs, &[&with("finetune-fresh")[..], &["--set", "method.label_smoothing=0.1"]].concat())
        .with_code(0);
    let (names, buffers) = adapter(&runs);
    assert!(names.iter().any(|name| name == "fc.weight") && buffers > 10, "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("projection_head")), "{names:?}");
    train(&runs, &with("finetune")).refused().naming(&["method.head.init", "fresh"]);
    train(&runs, &with("proreg")).refused().naming(&["model.backbone", "proreg", "tes or finetune"]);
}

#[test]
fn a_vision_transformer_brings_its_own_size_and_needs_no_batches() {
    let folder = tempfile::tempdir().unwrap();
    let (encoder, runs) = (folder.path().join("vit"), folder.path().join("runs"));
    let golden = root().join("crates/clip/tests/golden/vit_backbone/timm");
    write(&encoder.join("model.safetensors"), &std::fs::read(golden.join("model.safetensors")).unwrap());
    let config = json!({ "architecture": "vit", "num_heads": 3, "pretrained_cfg": {
        "input_size": [3, 24, 24], "crop_pct": 1.0, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
    } });
    write(&encoder.join("config.json"), config.to_string().as_bytes());
    let with =
        |method: &'static str| [&["--method", method, "--backbone", text(&encoder)], &FEW[..]].concat();
    let ended = train(&runs, &[&with("finetune-fresh")[..], &["--set", "training.batch=1"]].concat());
    let ended = ended.with_code(0);
    assert!(ended.stdout.contains("other tensors of its file, such as head.bias"), "{}", ended.stdout);
    let (names, buffers) = adapter(&runs);
    assert!(
        names.iter().any(|name| name == "transformer.resblocks.0.ln_1.bias") && buffers == 0,
        "{names:?}"
    );
    train(&runs, &with("tes")).with_code(0);
}

#[test]
fn texts_come_from_a_file_or_a_bert() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let tes = [&["--method", "tes"], &FEW[..]].concat();
    let with = |value: &str| train(&runs, &[&tes[..], &["--set", value]].concat());
    with("method.text={ features = \"no/such/texts\" }").refused().naming(&["no/such/texts"]);
    with("method.text={ bert = \"no/such/bert\", pooling = \"cls\" }").refused().naming(&["no/such/bert"]);
    with("method.text={ bert = \"no/such/bert\" }").refused().naming(&["pooling"]);
    with("method.permuted=true").with_code(0);
    assert!(text(&run_folders(&runs)[0]).contains("tes-permuted"));
}

#[test]
fn what_cannot_be_normalised_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (encoder, runs) = (backbone(folder.path()), folder.path().join("runs"));
    let tes = [&["--method", "tes", "--backbone", text(&encoder)], &FEW[..]].concat();
    let one = [&tes[..], &["--set", "training.batch=1"]].concat();
    train(&runs, &one).refused().naming(&["training.batch: is 1", "at least 2"]);
    let averaged = [&tes[..], &["--set", "training.aggregation={ weights = \"equal\" }"]].concat();
    train(&runs, &averaged).refused().naming(&["training.aggregation", "running statistics"]);

    let data = folder.path().join("single");
    class_folders(&data.join("train"), &["cat"], 1);
    class_folders(&data.join("test"), &["cat"], 2);
    let single = ["--method", "tes", "--data", text(&data), "--backbone", text(&encoder)];
    train(&runs, &single).with_code(1).naming(&["step 0 has 1 images", "2 or more"]);
    let permuted = [&single[..], &["--set", "method.permuted=true"]].concat();
    train(&runs, &permuted).with_code(1).naming(&["method.permuted", "1 class"]);
}

#[test]
fn a_backbone_that_cannot_be_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (encoder, runs) = (backbone(folder.path()), folder.path().join("runs"));
    let tes = |encoder: &str| train(&runs, &[&["--method", "tes", "--backbone", encoder], &FEW[..]].concat());
    tes("no/such/encoder").refused().naming(&["model.backbone", "no/such/encoder"]);
    tes("assets/world-clip").refused().naming(&["model.backbone", "assets/world-clip"]);
    write(&encoder.join("config.json"), br#"{"pretrained_cfg": {"crop_pct": 7.0}}"#);
    tes(text(&encoder)).refused().naming(&["model.backbone", "config.json", "crop_pct"]);
    write(&encoder.join("model.safetensors"), b"cut");
    tes(text(&encoder)).refused().naming(&["model.backbone", "model.safetensors"]);
}

#[test]
fn small_and_unbalanced_data_of_the_world() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let tail = ["--data", "world-long-tailed", "--set", "data.largest=9", "--set", "data.ratio=9"];
    let ended = train(&runs, &[&["--method", "tes", "--set", "data.test_images=20"], &tail[..]].concat());
    let ended = ended.with_code(0);
    assert!(ended.stdout.contains("tes on world-long-tailed-9-9"), "{}", ended.stdout);
    let none = ["--method", "tes", "--data", "world-few-shot", "--set", "data.shots=0"];
    train(&runs, &none).refused().naming(&["data.shots: is 0"]);
    let domains = [&tail[..], &["--train-domains", "photo"]].concat();
    train(&runs, &domains).refused().naming(&["world has no domains"]);
}

#[test]
fn a_subset_of_a_folder_and_a_class_without_test_images() {
    let folder = tempfile::tempdir().unwrap();
    let (data, runs) = (folder.path().join("data"), folder.path().join("runs"));
    class_folders(&data.join("train"), &["cat", "dog", "fox"], 7);
    class_folders(&data.join("test"), &["cat", "dog"], 2);
    write(&data.join("test/fox/broken.png"), &png(40, 9)[..60]);
    let tes = [
        "--method",
        "tes",
        "--data",
        text(&data),
        "--set",
        "data.hold_out=0",
        "--set",
        "data.subset.shots=3",
    ];
    let ended = train(&runs, &tes).with_code(0);
    for part in ["9 training images", "official", "undefined where a class has no image"] {
        assert!(ended.stdout.contains(part), "`{part}` is not in {}", ended.stdout);
    }
    let run = &run_folders(&runs)[0];
    assert!(text(run).contains("data-3-shots-tes"), "{}", run.display());
    let outcome: Value = serde_json::from_slice(&std::fs::read(run.join("outcome.json")).unwrap()).unwrap();
    let scores = &outcome["splits"][0]["scores"];
    assert!(
        scores["mean_class_accuracy"].is_f64() && scores["mean_class_accuracy_official"].is_null(),
        "{scores}"
    );
    let again = train(&runs, &tes).with_code(0);
    assert!(
        again.stdout.contains("already finished") && again.stdout.contains("undefined"),
        "{}",
        again.stdout
    );
    let wrong = [&tes[..6], &["--set", "data.subset.fraction=2"]].concat();
    train(&runs, &wrong).refused().naming(&["data.subset", "fraction is 2"]);
}

#[test]
fn a_suite_trains_rows_on_a_backbone() {
    let folder = tempfile::tempdir().unwrap();
    let (encoder, runs) = (backbone(folder.path()), folder.path().join("runs"));
    let suite = format!(
        r#"
        title = "Encoders"
        model = "assets/world-clip"
        seeds = [1]
        tasks = {{ few = {{ kind = "world-few-shot", shots = 2, test_images = 20 }} }}
        runs = [{{ task = "few", once = ["zero-shot"], methods = ["tes", "plain"] }}]
        backbone_of = {{ tes = "{encoder}", plain = "{encoder}" }}
        [methods]
        zero-shot = {{ name = "zero-shot" }}
        tes = {{ name = "tes" }}
        plain = {{ name = "finetune", head = {{ init = "fresh" }} }}
        [training]
        steps = 2
        batch = 8
        learning_rate = 1e-3
        schedule = {{ decay = "cosine" }}
        optimiser = {{ rule = "sgd" }}
        "#,
        encoder = encoder.display()
    );
    let path = folder.path().join("encoders.toml");
    write(&path, suite.as_bytes());
    let reproduce = ["reproduce", "--suite", text(&path), "--runs", text(&runs)];
    let estimate = xtask(&[&reproduce[..], &["--estimate"]].concat()).with_code(0);
    estimate.naming(&["estimated time"]);
    let ended = xtask(&reproduce).with_code(0);
    assert!(ended.stdout.contains("plain") && ended.stdout.contains("test"), "{}", ended.stdout);
    write(&path, suite.replace("plain = \"", "plian = \"").as_bytes());
    xtask(&reproduce).refused().naming(&["backbone_of", "did you mean `plain`?"]);
}
