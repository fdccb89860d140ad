//! R-MT from a recipe to its outcome, on both kinds of image tower.

use std::path::Path;

use burn::tensor::Device;
use regulus_clip::{Clip, ClipConfig, ImageConfig, Pretrained, ResNetConfig};
use regulus_datasets::world::{TestSet, TestSize, base_to_novel_task};
use regulus_trainer::class_texts::ClassTexts;
use regulus_trainer::experiment::{Experiment, parse_toml};
use regulus_trainer::methods::{MaskError, Measure};
use regulus_trainer::run::{Materials, Outcome, RunError, importance};

use super::models::without_zeros;
use crate::support::{device, ran_unwatched};

fn experiment(method: &str, rule: &str) -> Experiment {
    let text = format!(
        "seed = 3\nmodel = {{ path = \"m\" }}\ndata = {{ kind = \"world-base-to-novel\", test_images = 20 }}\n\
         method = {{ {method} }}\n[training]\nsteps = 3\nbatch = 8\nlearning_rate = {rule}\n\
         schedule = {{ decay = \"constant\" }}\noptimiser = {{ rule = \"sgd\" }}"
    );
    Experiment::check(parse_toml(&text, "test").unwrap()).unwrap()
}

/// The world's own CLIP, or one with its text tower and a residual network that knows nothing.
fn materials(residual: bool, device: &Device) -> Materials {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/world-clip");
    let mut pretrained = Pretrained::load(shipped, device).unwrap();
    if residual {
        let network = ResNetConfig { resolution: 32, width: 4, blocks: [1, 1, 1, 1], heads: 2 };
        let config = ClipConfig { image: ImageConfig::ResNet(network), ..pretrained.config.clone() };
        pretrained.clip = without_zeros(Clip::init(&config, 5, device).unwrap());
        pretrained.config = config;
    }
    Materials {
        pretrained,
        backbone: None,
        texts: ClassTexts::Clip,
        task: base_to_novel_task(3, TestSize { images: 20, set: TestSet::Development }),
        resized_from: None,
        notices: Vec::new(),
        reference: None,
        report: None,
        listed: None,
        identity: "test".into(),
        device_kind: "cpu-f32".into(),
        commit: None,
    }
}

fn outcome(method: &str, residual: bool) -> Result<Outcome, RunError> {
    let (folder, device) = (tempfile::tempdir().unwrap(), device());
    // Steps that take some masks, and not all, across the threshold.
    let experiment = experiment(method, "0.5");
    let ended = ran_unwatched(&experiment, &materials(residual, &device), folder.path())?;
    let stored = Outcome::load(folder.path()).unwrap().unwrap();
    assert!(stored.facts.keys().eq(ended.facts.keys()));
    assert_eq!(stored.splits, ended.splits);
    let metrics = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let told = metrics.lines().filter(|line| line.starts_with("{\"fact\":")).count();
    assert_eq!(told, ended.facts.len(), "{metrics}");
    Ok(ended)
}

#[test]
fn every_variant_masks_its_weights_and_is_tested_on_new_classes() {
    // Four layers of width 128.
    let (attention, mlp, conv1) = (4 * (3 + 1) * 128 * 128, 4 * 2 * 4 * 128 * 128, 128 * 3 * 64);
    for (method, label, masked) in [
        ("name = \"r-mt\"", "r-amt", attention),
        ("name = \"r-mt\", conv1 = true", "r-amt", attention + conv1),
        ("name = \"r-mt\", part = \"mlp\"", "r-mmt", mlp),
        ("name = \"r-mt\", part = \"all\", dropout = false", "pmt", attention + mlp),
    ] {
        let outcome = outcome(method, false).unwrap();
        assert_eq!(outcome.method, label);
        assert_eq!(outcome.facts["masked_weights"], masked as f64);
        assert_eq!(outcome.trained_values, masked);
        let off = outcome.facts["off_percent_of_masked"];
        assert!(off > 0.0 && off < 50.0, "{off} % of {label} are off");
        assert!(outcome.facts["off_percent_of_tower"] < off);
        let splits: Vec<&str> = outcome.splits.iter().map(|split| split.split.as_str()).collect();
        assert_eq!(splits, ["base", "novel"]);
    }
}

#[test]
fn a_residual_network_is_masked_too() {
    let outcome = outcome("name = \"r-mt\"", true).unwrap();
    assert!(outcome.facts["masked_weights_off"] > 0.0, "{:?}", outcome.facts);
    assert!(outcome.facts["masked_weights"] < outcome.facts["tower_parameters"]);
    let refused = self::outcome("name = \"r-mt\", part = \"mlp\"", true).unwrap_err();
    assert!(matches!(refused, RunError::Masks(MaskError::NoMlp)), "{refused}");
}

#[test]
fn dropout_draws_follow_the_seed() {
    let first = outcome("name = \"r-mt\"", false).unwrap();
    assert_eq!(outcome("name = \"r-mt\"", false).unwrap().facts, first.facts);
    assert_ne!(outcome("name = \"r-mt\", dropout = false", false).unwrap().facts, first.facts);
}

#[test]
fn methods_without_anything_to_say_say_nothing() {
    let outcome = outcome("name = \"vpt\", image = { layers = 1, vectors = 1 }", false).unwrap();
    assert!(outcome.facts.is_empty());
}

#[test]
fn importance_is_measured_on_the_training_images_of_an_experiment() {
    let device = device();
    for residual in [false, true] {
        let materials = materials(residual, &device);
        let mut steps = Vec::new();
        let gradients = importance::by_gradient(
            &experiment("name = \"kgcoop\"", "0.1"),
            &materials,
            &device,
            64,
            &mut |progress| steps.push(progress),
        )
        .unwrap();
        assert_eq!(steps.len(), 3, "160 images in batches of 64");
        assert_eq!(gradients.measure, Measure::Gradient);
        let tuned = experiment("name = \"finetune\", head = { trained = false }", "1e-3");
        let change = importance::by_change(&tuned, &materials, &device, &mut |_| {}).unwrap();
        for importance in [&gradients, &change] {
            let unmoved = importance
                .tensors
                .iter()
                .filter(|tensor| !tensor.importance.is_some_and(|value| value > 0.0));
            // Biases of a new network start from 0, and that of keys shifts all scores of a query alike.
            let mut unmoved = unmoved.map(|tensor| tensor.path.as_str());
            assert_eq!(unmoved.find(|path| !path.ends_with("bias")), None);
        }
        assert_eq!(gradients.tensors.len(), change.tensors.len());
        let masks = experiment("name = \"r-mt\"", "0.1");
        let refused = importance::by_change(&masks, &materials, &device, &mut |_| {}).unwrap_err();
        assert!(matches!(&refused, RunError::NotFineTuned { method } if method == "r-amt"), "{refused}");
    }
}
