//! Whole runs on an image encoder of the test's own, guided by the texts of CLIP, of a BERT, and of a file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use regulus_datasets::world::{TestSet, TestSize, few_shot_task};
use regulus_trainer::class_texts::{ClassTexts, TextError};
use regulus_trainer::experiment::{Experiment, TextSpec, parse_toml};
use regulus_trainer::run::{DataError, Inputs, Materials, Outcome, RunError};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::support::{compare, device, host, ran_unwatched};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A residual network in timm's layout, for the world's images as they are.
fn backbone(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let weights = root().join("crates/clip/tests/golden/tes_resnet/resnet.safetensors");
    std::fs::copy(weights, folder.join("model.safetensors")).unwrap();
    let config = json!({ "architecture": "resnet", "pretrained_cfg": {
        "input_size": [3, 32, 32], "crop_pct": 1.0, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],
    } });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

/// A small BERT with a vocabulary that knows few words.
fn bert(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(root().join("crates/clip/tests/golden/bert").join(file), folder.join(file)).unwrap();
    }
    let words = "[PAD] [UNK] [CLS] [SEP] [MASK] a an photo of image cat dog fish tree house car";
    std::fs::write(folder.join("vocab.txt"), words.replace(' ', "\n")).unwrap();
}

fn text_spec(text: &str) -> TextSpec {
    #[derive(serde::Deserialize)]
    struct Only {
        text: TextSpec,
    }
    parse_toml::<Only>(&format!("text = {text}"), "test").unwrap().text
}

fn experiment(backbone: &Path, method: &str) -> Experiment {
    let text = format!(
        r#"
        seed = 3
        model = {{ path = "{}", backbone = "{}" }}
        data = {{ kind = "world-few-shot", shots = 1, test_images = 20 }}
        method = {{ {method} }}
        [training]
        steps = 3
        batch = 10
        learning_rate = 0.01
        no_decay = []
        schedule = {{ decay = "cosine" }}
        optimiser = {{ rule = "sgd", momentum = 0.9, nesterov = true }}
        "#,
        root().join("assets/world-clip").display(),
        backbone.display()
    );
    Experiment::check(parse_toml(&text, "test").unwrap()).unwrap()
}

fn materials(experiment: &Experiment, device: &Device) -> Result<Materials, DataError> {
    Inputs::check(experiment, "cpu")?.load(experiment, device, &|_| {})
}

fn ran(experiment: &Experiment, folder: &Path) -> Result<Outcome, RunError> {
    let device = device();
    let materials = materials(experiment, &device)?;
    ran_unwatched(experiment, &materials, folder)
}

/// Names of the tensors of an adapter and what it says of itself.
fn adapter(run: &Path) -> (Vec<String>, Value) {
    let bytes = std::fs::read(run.join("adapter.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let card = serde_json::from_str(&header.metadata().as_ref().unwrap()["regulus"]).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    (tensors.names().into_iter().map(String::from).collect(), card)
}

#[test]
fn an_adapter_holds_parameters_and_buffers_and_tells_them_apart() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = folder.path().join("encoder");
    backbone(&encoder);
    let tes = experiment(&encoder, "name = \"tes\"");
    let run = folder.path().join("run");
    let outcome = ran(&tes, &run).unwrap();
    assert_eq!((outcome.training_images, outcome.splits.len()), (20, 1));
    let (names, card) = adapter(&run);
    let buffers: Vec<&str> = card["buffers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(buffers.contains(&"bn1.running_var") && buffers.contains(&"projection_head.1.running_mean"));
    assert!(buffers.iter().all(|buffer| names.iter().any(|name| name == buffer)));
    let trained = names.iter().filter(|name| !buffers.contains(&name.as_str()));
    assert!(
        trained.clone().all(|name| !name.contains("running"))
            && trained.clone().any(|name| name == "fc.bias")
    );
    assert_eq!(card["preprocess"]["mean"], json!([0.5, 0.5, 0.5]), "that of the encoder");
    assert_eq!(card["backbone_sha256"].as_str().map(str::len), Some(64));

    // The whole run is the same again, and another encoder is another experiment.
    let again = folder.path().join("again");
    ran(&tes, &again).unwrap();
    let metrics = |run: &Path| std::fs::read(run.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics(&run), metrics(&again));
    let identity = |experiment: &Experiment| Inputs::check(experiment, "cpu").unwrap().identity;
    let before = identity(&tes);
    std::fs::write(encoder.join("config.json"), "{}").unwrap();
    assert_ne!(before, identity(&tes));
}

#[test]
fn plain_fine_tuning_and_tes_start_alike() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = folder.path().join("encoder");
    backbone(&encoder);
    let silent = experiment(&encoder, "name = \"tes\", lambda_v = 0.0, lambda_t = 0.0");
    let plain = experiment(&encoder, "name = \"finetune\", head = { init = \"fresh\" }");
    let losses = |experiment: &Experiment, name: &str| -> Vec<f64> {
        let run = folder.path().join(name);
        ran(experiment, &run).unwrap();
        let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter_map(|line| line["loss"].as_f64().or(line["value"].as_f64())).collect()
    };
    let (silent, plain) = (losses(&silent, "silent"), losses(&plain, "plain"));
    assert_eq!(silent.len(), 3 + 5, "three losses and five scores");
    assert_eq!(silent, plain);
}

#[test]
fn texts_of_a_bert_guide() {
    let folder = tempfile::tempdir().unwrap();
    let (encoder, texts) = (folder.path().join("encoder"), folder.path().join("bert"));
    backbone(&encoder);
    bert(&texts);
    for pooling in ["cls", "mean", "pooler"] {
        let text = format!("text = {{ bert = \"{}\", pooling = \"{pooling}\" }}", texts.display());
        let tes = experiment(&encoder, &format!("name = \"tes\", {text}"));
        let materials = materials(&tes, &device()).unwrap();
        let names: Vec<String> = ["cat", "dog", "cat"].map(str::to_owned).to_vec();
        let features = materials.texts.features(&materials.pretrained, &names, "a photo of a {}").unwrap();
        assert_eq!(features.dims(), [3, 48]);
        let rows = host(features);
        compare("the same text", &rows[..48], &rows[96..], 1e-6);
        assert!(rows[..48].iter().zip(&rows[48..96]).any(|(a, b)| (a - b).abs() > 1e-3), "{pooling}");
        ran_unwatched(&tes, &materials, &folder.path().join(pooling)).unwrap();
    }
}

#[test]
fn texts_of_a_file_are_matched_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (encoder, file) = (folder.path().join("encoder"), folder.path().join("texts.safetensors"));
    backbone(&encoder);
    let tes =
        experiment(&encoder, &format!("name = \"tes\", text = {{ features = \"{}\" }}", file.display()));
    let write = |names: &[String]| {
        // A row depends on the name and not on its place.
        let row = |name: &String| name.bytes().cycle().take(8).map(f32::from).collect::<Vec<f32>>();
        let values: Vec<u8> = names.iter().flat_map(row).flat_map(f32::to_le_bytes).collect();
        let features = TensorView::new(Dtype::F32, vec![names.len(), 8], &values).unwrap();
        let metadata = HashMap::from([("class_names".to_owned(), serde_json::to_string(names).unwrap())]);
        let bytes = safetensors::serialize([("features", features)], Some(metadata)).unwrap();
        std::fs::write(&file, bytes).unwrap();
    };
    write(&["sheep".to_owned()]);
    let mut names = few_shot_task(1, 1, TestSize { images: 20, set: TestSet::Final }).class_names;
    let error = materials(&tes, &device()).unwrap_err();
    assert!(matches!(error, DataError::Texts(TextError::Precomputed(_))), "{error}");
    assert!(error.to_string().contains(&format!("no row for the class `{}`", names[0])), "{error}");

    write(&names);
    let metrics = |run: &str| {
        ran(&tes, &folder.path().join(run)).unwrap();
        std::fs::read(folder.path().join(run).join("metrics.jsonl")).unwrap()
    };
    let forwards = metrics("forwards");
    names.reverse();
    names.push("one_more".to_owned());
    write(&names);
    assert_eq!(forwards, metrics("backwards"));
}

#[test]
fn permuted_names_are_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = folder.path().join("encoder");
    backbone(&encoder);
    let losses = |more: &str, name: &str| {
        let tes = experiment(&encoder, &format!("name = \"tes\"{more}"));
        let run = folder.path().join(name);
        assert_eq!(ran(&tes, &run).unwrap().method, name);
        std::fs::read_to_string(run.join("metrics.jsonl")).unwrap()
    };
    assert_ne!(losses("", "tes"), losses(", permuted = true", "tes-permuted"));
}

#[test]
fn texts_that_cannot_be_read_are_told_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let (encoder, texts) = (folder.path().join("encoder"), folder.path().join("bert"));
    backbone(&encoder);
    bert(&texts);
    let load = |text: String| ClassTexts::load(&text_spec(&text), &device()).unwrap_err();
    let of_bert = || format!("{{ bert = \"{}\", pooling = \"cls\" }}", texts.display());
    std::fs::remove_file(texts.join("vocab.txt")).unwrap();
    assert!(matches!(load(of_bert()), TextError::NoTokenizer { .. }));
    std::fs::write(texts.join("config.json"), "{").unwrap();
    assert!(load(of_bert()).to_string().starts_with("`method.text.bert`"));
    assert!(matches!(load("{ features = \"no/such/file\" }".into()), TextError::Precomputed(_)));
    let missing = experiment(&encoder, "name = \"tes\", text = { features = \"no/such/file\" }");
    let error = Inputs::check(&missing, "cpu").unwrap_err();
    assert!(error.to_string().contains("no/such/file"), "{error}");
}
