//! Vision transformers of `timm` and `transformers`: agreement, names, and what is refused.

use crate::common::{Recorded, assert_close, copied, devices, edit_json, golden, values};
use crate::files::edit_weights;
use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use regulus_checkpoints::Checkpoint;
use regulus_clip::{
    Activation, Backbone, Injection, LoadError, LoadedBackbone, Normalisation, TensorFault, VitBackbone,
    VitConfig, WeightsError,
};
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
