//! Vision transformers of `timm` and `transformers`: agreement, names, and what is refused.

use crate::common::{Recorded, assert_close, copied, devices, edit_json, golden, values};
use crate::files::edit_weights;
use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use regulus_checkpoints::Checkpoint;
use regulus_clip::{
    Activation, Backbone, Injection, LoadError, LoadedBackbone, NamedParameter, Normalisation, SaveError,
    TensorFault, VitBackbone, VitConfig, WeightsError,
};
use regulus_images::Preprocess;
use safetensors::Dtype;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const TOLERANCE: f32 = 1e-4;
/// Matrix products of other heights add in another order.
const REORDERED: f32 = 1e-5;
const FILES: [&str; 2] = ["config.json", "model.safetensors"];

/// A loaded vision transformer with what the tests look at.
#[derive(Debug)]
struct Loaded {
    config: VitConfig,
    vit: VitBackbone,
    ignored: Vec<String>,
}

fn load(path: impl AsRef<Path>, device: &Device) -> Result<Loaded, LoadError> {
    let LoadedBackbone { backbone, ignored, .. } = VitBackbone::load(path, device)?;
    let Backbone::Vit(vit) = backbone else { panic!("another architecture") };
    Ok(Loaded { config: vit.config().clone(), vit, ignored })
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn timm() -> tempfile::TempDir {
    copied("vit_backbone/timm", &FILES)
}

fn unsupported(path: &Path) -> (&'static str, String) {
    let error = load(path, &devices()[0]).unwrap_err();
    let LoadError::Unsupported { field, found, .. } = error else { panic!("{error}") };
    (field, found)
}

fn assert_agrees(vit: &VitBackbone, case: &str, device: &Device) {
    let io = Recorded::read(&format!("vit_backbone/{case}/io.safetensors"));
    let expected = io.tensor("features", device);
    let backbone = Backbone::Vit(vit.clone());
    let features =
        backbone.features(io.tensor("pixel_values", device), &Injection::none(), Normalisation::Running);
    assert_close(case, &features, &expected, TOLERANCE);
    assert_eq!(backbone.width(), features.dims()[1]);
}

#[test]
fn timm_agrees() {
    for device in devices() {
        let loaded = load(golden("vit_backbone/timm"), &device).unwrap();
        let expected = VitConfig {
            resolution: 24,
            patch: 6,
            width: 36,
            layers: 2,
            heads: 3,
            mlp_width: 72,
            activation: Activation::Gelu,
            layer_norm_eps: 1e-6,
        };
        assert_eq!(loaded.config, expected);
        assert_eq!(loaded.ignored, ["head.bias", "head.weight"]);
        assert_agrees(&loaded.vit, "timm", &device);
    }
}

#[test]
fn transformers_agrees_with_and_without_head() {
    for device in devices() {
        let loaded = load(golden("vit_backbone/hf"), &device).unwrap();
        assert_eq!(loaded.config.layer_norm_eps, 1e-12);
        assert_eq!(loaded.ignored, ["pooler.dense.bias", "pooler.dense.weight"]);
        assert_agrees(&loaded.vit, "hf", &device);
        let loaded = load(golden("vit_backbone/hf_classifier"), &device).unwrap();
        assert_eq!(loaded.ignored, ["classifier.bias", "classifier.weight"]);
        assert_agrees(&loaded.vit, "hf_classifier", &device);
    }
}

#[test]
fn a_configuration_and_a_file_are_enough() {
    for device in devices() {
        let config = load(golden("vit_backbone/timm"), &device).unwrap().config;
        let checkpoint = Checkpoint::open(golden("vit_backbone/timm/model.safetensors")).unwrap();
        let vit = VitBackbone::from_checkpoint(&config, &checkpoint, &device).unwrap();
        assert_agrees(&vit, "timm", &device);
    }
}

#[test]
fn weights_are_read_through_the_injection() {
    for device in devices() {
        let vit = load(golden("vit_backbone/timm"), &device).unwrap().vit;
        let pixels = Recorded::read("vit_backbone/timm/io.safetensors").tensor("pixel_values", &device);
        let before = values(&vit.features(pixels.clone(), &Injection::none()));
        for parameter in vit.parameters() {
            let changed = Injection::none().replace(parameter.path.clone(), parameter.value + 0.5);
            let after = values(&vit.features(pixels.clone(), &changed));
            assert_ne!(before, after, "{}", parameter.path);
        }
        assert_eq!(vit.shapes().len(), 2 + 2 + 2 * 12 + 2);
    }
}

fn renamed(tensors: &mut Tensors, prefix: &str) -> Tensors {
    std::mem::take(tensors).into_iter().map(|(key, tensor)| (format!("{prefix}{key}"), tensor)).collect()
}

/// The same tensors with other values.
fn zeroed(mut tensors: Tensors) -> Tensors {
    tensors.values_mut().for_each(|(_, _, values)| values.fill(0));
    tensors
}

#[test]
fn the_teacher_of_a_self_distillation_checkpoint_is_read() {
    for device in devices() {
        let folder = timm();
        edit_weights(folder.path(), |tensors| {
            let student = zeroed(renamed(&mut tensors.clone(), "student.module.backbone."));
            *tensors = renamed(tensors, "teacher.backbone.");
            tensors.extend(student);
            tensors.insert("teacher.head.mlp.0.bias".into(), (Dtype::F32, vec![1], vec![0; 4]));
            tensors.insert("dino_loss.center".into(), (Dtype::F32, vec![1], vec![0; 4]));
        });
        let loaded = load(folder.path(), &device).unwrap();
        assert_agrees(&loaded.vit, "timm", &device);
        let ignored = |key: &str| loaded.ignored.iter().any(|name| name == key);
        assert!(ignored("dino_loss.center") && ignored("student.module.backbone.cls_token"));
        assert!(!ignored("teacher.backbone.cls_token"));
    }
}

#[test]
fn the_encoder_of_a_masked_autoencoder_is_read() {
    for device in devices() {
        let folder = timm();
        edit_weights(folder.path(), |tensors| {
            tensors.retain(|key, _| !key.starts_with("head."));
            for extra in ["mask_token", "decoder_pos_embed", "decoder_blocks.0.norm1.bias"] {
                tensors.insert(extra.into(), (Dtype::F32, vec![1], vec![0; 4]));
            }
            *tensors = renamed(tensors, "model.");
        });
        let loaded = load(folder.path(), &device).unwrap();
        assert_agrees(&loaded.vit, "timm", &device);
        assert_eq!(loaded.ignored.len(), 3);
    }
}

#[test]
fn one_of_several_unknown_models_is_not_guessed() {
    let folder = timm();
    edit_weights(folder.path(), |tensors| {
        let other = renamed(&mut tensors.clone(), "model_ema.");
        *tensors = renamed(tensors, "model.");
        tensors.extend(other);
    });
    let (field, found) = unsupported(folder.path());
    assert_eq!(field, "patch embedding");
    assert!(found.contains("\"model.\"") && found.contains("\"model_ema.\""), "{found}");
}

#[test]
fn other_networks_are_refused() {
    assert_eq!(unsupported(&golden("bert")).0, "patch embedding");
    let folder = timm();
    edit_weights(folder.path(), |tensors| {
        let norm = tensors["norm.weight"].clone();
        tensors.insert("fc_norm.weight".into(), norm);
    });
    assert_eq!(unsupported(folder.path()).0, "fc_norm.weight");
    let folder = timm();
    edit_weights(folder.path(), |tensors| {
        let gamma = tensors["norm.weight"].clone();
        tensors.insert("blocks.0.ls1.gamma".into(), gamma);
    });
    let error = load(folder.path(), &devices()[0]).unwrap_err();
    let LoadError::Weights(WeightsError::Mismatch { faults, .. }) = error else { panic!("{error}") };
    assert_eq!(faults, [TensorFault::Unused { key: "blocks.0.ls1.gamma".into(), found: vec![36] }]);
}

#[test]
fn heads_that_cannot_be_told_are_asked_for() {
    let folder = copied("vit_backbone/timm", &["model.safetensors"]);
    let (field, found) = unsupported(folder.path());
    assert_eq!(field, "num_heads");
    assert!(found.contains("36"), "{found}");
    let folder = copied("vit_backbone/hf", &["model.safetensors"]);
    let error = load(folder.path(), &devices()[0]).unwrap_err();
    assert!(matches!(error, LoadError::Missing { .. }), "{error}");
}

#[test]
fn configurations_of_other_networks_are_refused() {
    for (case, field, edit) in [
        ("timm", "model_args", json!({ "model_args": { "act_layer": "quick_gelu" } })),
        ("timm", "global_pool", json!({ "model_args": { "num_heads": 3, "global_pool": "avg" } })),
        ("timm", "global_pool", json!({ "global_pool": "map", "model_args": { "num_heads": 3 } })),
        ("timm", "num_heads", json!({ "model_args": { "num_heads": -3 } })),
        ("timm", "model_type", json!({ "model_type": "beit" })),
        ("hf", "qkv_bias", json!({ "qkv_bias": false })),
        ("hf", "num_channels", json!({ "num_channels": 4 })),
        ("hf", "image_size", json!({ "image_size": [32, 40] })),
        ("hf", "hidden_act", json!({ "hidden_act": "silu" })),
    ] {
        let folder = copied(&format!("vit_backbone/{case}"), &FILES);
        edit_json(&folder.path().join("config.json"), |config| {
            let (Some(config), Value::Object(edit)) = (config.as_object_mut(), edit.clone()) else { return };
            config.extend(edit);
        });
        assert_eq!(unsupported(folder.path()).0, field);
    }
}

#[test]
fn absurd_shapes_are_errors() {
    let absurd =
        [vec![0], vec![], vec![0, 3, usize::MAX, usize::MAX], vec![1, 0, usize::MAX], vec![0, usize::MAX]];
    for key in ["patch_embed.proj.weight", "pos_embed", "blocks.0.mlp.fc1.weight", "cls_token"] {
        for shape in &absurd {
            let folder = timm();
            edit_weights(folder.path(), |tensors| {
                let bytes = if shape.is_empty() { 4 } else { 0 };
                tensors.insert(key.into(), (Dtype::F32, shape.clone(), vec![0; bytes]));
            });
            assert!(load(folder.path(), &devices()[0]).is_err(), "{key} {shape:?}");
        }
    }
}

#[test]
fn images_do_not_influence_each_other() {
    for device in devices() {
        let vit = load(golden("vit_backbone/hf"), &device).unwrap().vit;
        let pixels: Tensor<4> =
            Recorded::read("vit_backbone/hf/io.safetensors").tensor("pixel_values", &device);
        let together = vit.features(pixels.clone(), &Injection::none());
        for index in 0..3 {
            let alone = vit.features(pixels.clone().narrow(0, index, 1), &Injection::none());
            assert_close("alone", &alone, &together.clone().narrow(0, index, 1), REORDERED);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic(
        case in prop::sample::select(vec!["vit_backbone/hf", "vit_backbone/timm"]),
        file in 0..FILES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let folder = copied(case, &FILES);
        let path = folder.path().join(FILES[file]);
        let mut bytes = std::fs::read(&path).unwrap();
        for (place, value) in flips {
            let length = bytes.len().min(4096);
            bytes[place.index(length)] = value;
        }
        std::fs::write(&path, bytes).unwrap();
        let _ = load(folder.path(), &devices()[0]);
    }
}

fn small() -> VitConfig {
    VitConfig {
        resolution: 16,
        patch: 4,
        width: 64,
        layers: 2,
        heads: 4,
        mlp_width: 160,
        activation: Activation::Gelu,
        layer_norm_eps: 1e-6,
    }
}

#[test]
fn initial_values_are_those_of_timm() {
    for device in devices() {
        let vit = VitBackbone::init(&small(), 1, &device).unwrap();
        for NamedParameter { path, shape, value } in vit.parameters() {
            let drawn = values(&value);
            let extreme = drawn.iter().fold(0f32, |extreme, value| extreme.max(value.abs()));
            let square: f32 = drawn.iter().map(|value| value * value).sum();
            let deviation = (square / drawn.len() as f32).sqrt();
            // A uniform distribution within 1 / sqrt(48) has this over sqrt(3) as its standard deviation.
            let (least, most) = match path.as_str() {
                "conv1.weight" | "conv1.bias" => (0.95 / 12.0, 1.05 / 12.0),
                "class_embedding" => (0.7e-6, 1.3e-6),
                "ln_post.weight" => (1.0, 1.0),
                path if path.ends_with("bias") => (0.0, 0.0),
                path if path.contains("ln_") => (1.0, 1.0),
                _ => (0.0195, 0.0205),
            };
            let slack = if drawn.len() < 500 { 0.2 * most } else { 0.03 * most };
            assert!((least - slack..=most + slack).contains(&deviation), "{path}: {deviation}");
            assert!(extreme <= 6.0 * most, "{path} {shape:?}: {extreme}");
        }
        let again = VitBackbone::init(&small(), 1, &device).unwrap();
        let other = VitBackbone::init(&small(), 2, &device).unwrap();
        let first = |vit: &VitBackbone| values(&vit.parameters()[0].value);
        assert_eq!(first(&vit), first(&again));
        assert_ne!(first(&vit), first(&other));
        let faults = VitBackbone::init(&VitConfig { heads: 5, ..small() }, 1, &device).unwrap_err();
        assert!(faults.to_string().contains("image.width"), "{faults}");
    }
}

#[test]
fn a_saved_backbone_is_loaded_with_the_same_values() {
    for device in devices() {
        let vit = VitBackbone::init(&small(), 1, &device).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let preprocess = Preprocess { resize: 20, ..Preprocess::clip(16) };
        let sha256 = vit.save(&preprocess, folder.path().join("vit")).unwrap();
        let loaded = VitBackbone::load(folder.path().join("vit"), &device).unwrap();
        assert_eq!((loaded.sha256.get(), loaded.ignored), (&*sha256, vec![]));
        let Backbone::Vit(again) = loaded.backbone else { panic!("another architecture") };
        assert_eq!(again.config(), vit.config());
        for (saved, read) in vit.parameters().iter().zip(again.parameters()) {
            assert_eq!((&saved.path, values(&saved.value)), (&read.path, values(&read.value)));
        }
        let json = std::fs::read_to_string(folder.path().join("vit/config.json")).unwrap();
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["model_args"]["num_heads"], 4);
        assert_eq!(json["pretrained_cfg"]["input_size"], json!([3, 16, 16]));
        assert_eq!(json["pretrained_cfg"]["crop_pct"], 0.8);
        assert_eq!(json["pretrained_cfg"]["interpolation"], "bicubic");
        let mean: [f32; 3] = serde_json::from_value(json["pretrained_cfg"]["mean"].clone()).unwrap();
        assert_eq!(mean, preprocess.mean);
    }
}

#[test]
fn what_timm_cannot_say_is_not_saved() {
    let device = &devices()[0];
    let folder = tempfile::tempdir().unwrap();
    let refused = |config: VitConfig, preprocess: Preprocess| {
        let path = folder.path().join("vit");
        let error = VitBackbone::init(&config, 1, device).unwrap().save(&preprocess, &path).unwrap_err();
        assert!(!path.exists());
        let SaveError::Unrepresentable { field, .. } = error else { panic!("{error}") };
        field
    };
    let clip = Preprocess::clip(16);
    assert_eq!(
        refused(VitConfig { activation: Activation::QuickGelu, ..small() }, clip.clone()),
        "activation"
    );
    assert_eq!(refused(VitConfig { layer_norm_eps: 1e-5, ..small() }, clip), "layer_norm_eps");
    assert_eq!(refused(small(), Preprocess::clip(24)), "crop");
}
