//! How the images of backbones are prepared: what timm and transformers write beside the weights.

use crate::common::{copied, devices, edit_json, golden};
use regulus_clip::{Backbone, BackboneError, LoadError, LoadedBackbone};
use regulus_images::{Filter, Preprocess};
use serde_json::{Value, json};
use std::path::Path;

const FILES: [&str; 2] = ["config.json", "model.safetensors"];

fn load(path: &Path) -> Result<LoadedBackbone, BackboneError> {
    LoadedBackbone::load(path, &devices()[0])
}

/// timm's vision transformer of 24 pixels with these fields in its `config.json`.
fn timm(edit: Value) -> tempfile::TempDir {
    let folder = copied("vit_backbone/timm", &FILES);
    edit_json(&folder.path().join("config.json"), |config| {
        if let (Some(config), Value::Object(edit)) = (config.as_object_mut(), edit.clone()) {
            config.extend(edit);
        }
    });
    folder
}

/// A residual network with timm's `config.json`.
fn residual(config: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(golden("tes_resnet/resnet.safetensors"), folder.path().join("model.safetensors")).unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

fn prepared(folder: &tempfile::TempDir) -> Preprocess {
    load(folder.path()).unwrap().preprocess
}

fn refused(folder: &tempfile::TempDir) -> String {
    load(folder.path()).unwrap_err().to_string()
}

#[test]
fn a_folder_of_timm_says_how() {
    // The sizes are those of timm 1.0.31's `create_transform`.
    let stated = json!({ "pretrained_cfg": {
        "input_size": [3, 24, 24], "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center",
        "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "num_classes": 0,
    } });
    let expected = Preprocess {
        resize: 25,
        crop: 24,
        filter: Filter::Bicubic,
        mean: [0.1, 0.2, 0.3],
        std: [0.4, 0.5, 0.6],
    };
    assert_eq!(prepared(&timm(stated)), expected);
    let network = json!({ "architecture": "resnet50", "pretrained_cfg": {
        "input_size": [3, 224, 224], "crop_pct": 0.9, "interpolation": "bilinear",
    } });
    let network = prepared(&residual(&network));
    assert_eq!((network.resize, network.crop, network.filter), (248, 224, Filter::Bilinear));
    assert_eq!(network.mean, [0.485, 0.456, 0.406]);
}

#[test]
fn heads_are_stated_beside_the_preparation() {
    let folder = timm(json!({ "num_heads": 6, "model_args": {}, "pretrained_cfg": { "crop_pct": 1.0 } }));
    let loaded = load(folder.path()).unwrap();
    let Backbone::Vit(vit) = &loaded.backbone else { panic!("another architecture") };
    assert_eq!(vit.config().heads, 6);
    assert_eq!((loaded.preprocess.resize, loaded.preprocess.crop), (24, 24), "the size of the weights");
}

#[test]
fn old_folders_of_timm_have_no_table_of_their_own() {
    let old = json!({ "architecture": "resnet50", "input_size": [3, 32, 32], "mean": [0.5, 0.5, 0.5] });
    let preprocess = prepared(&residual(&old));
    assert_eq!((preprocess.resize, preprocess.crop, preprocess.mean), (36, 32, [0.5; 3]));
    assert_eq!((preprocess.filter, preprocess.std), (Filter::Bicubic, [0.229, 0.224, 0.225]));
}

#[test]
fn files_that_say_nothing_leave_what_is_usual() {
    let usual = |folder: &tempfile::TempDir| {
        let loaded = load(folder.path()).unwrap();
        assert_eq!(loaded.preprocess, loaded.backbone.preprocess());
    };
    usual(&timm(json!({})));
    usual(&timm(json!({ "pretrained_cfg": {} })));
    usual(&residual(&json!({ "something": "else" })));
    let bare = residual(&json!({}));
    std::fs::remove_file(bare.path().join("config.json")).unwrap();
    usual(&bare);
}

#[test]
fn transformers_keeps_colours_in_a_file_of_its_own() {
    let folder = copied("vit_backbone/hf", &FILES);
    let file = folder.path().join("preprocessor_config.json");
    let write = |value: Value| std::fs::write(&file, value.to_string()).unwrap();
    write(
        json!({ "do_normalize": true, "image_mean": [0.1, 0.2, 0.3], "resample": 3, "size": { "height": 32 } }),
    );
    let preprocess = prepared(&folder);
    assert_eq!(
        (preprocess.mean, preprocess.std, preprocess.filter),
        ([0.1, 0.2, 0.3], [0.5; 3], Filter::Bicubic)
    );
    assert_eq!((preprocess.resize, preprocess.crop), (32, 32));
    write(json!({ "do_normalize": false }));
    assert!(refused(&folder).contains("do_normalize"));
    write(json!({ "image_std": [0.0, 1.0, 1.0] }));
    let message = refused(&folder);
    assert!(message.contains("preprocessor_config.json") && message.contains("std"), "{message}");
}

#[test]
fn a_preparation_that_cannot_be_followed_names_its_field() {
    let stated =
        |field: &str, value: Value| timm(json!({ "pretrained_cfg": { "mean": [0, 0, 0], field: value } }));
    for (field, value) in [
        ("input_size", json!([3, 32, 32])),
        ("input_size", json!([3, 24, 12])),
        ("input_size", json!([1, 24, 24])),
        ("interpolation", json!("lanczos")),
        ("crop_mode", json!("squash")),
        ("crop_pct", json!(0.0)),
        ("crop_pct", json!(1.5)),
        ("std", json!([0, 1, 1])),
        ("crop_pct", json!(1e-9)),
    ] {
        let message = refused(&stated(field, value.clone()));
        let named = if value == json!(1e-9) { "resize" } else { field };
        assert!(message.contains("config.json") && message.contains(named), "{field} {value}: {message}");
    }
    let broken = residual(&json!({}));
    std::fs::write(broken.path().join("config.json"), "{").unwrap();
    let error = load(broken.path()).unwrap_err();
    assert!(matches!(error, BackboneError::Vit(LoadError::Json { .. })), "{error}");
}

#[test]
fn a_fingerprint_follows_all_files_and_not_their_place() {
    let print = |folder: &tempfile::TempDir| LoadedBackbone::fingerprint(folder.path()).unwrap();
    let (one, same, other) = (timm(json!({})), timm(json!({})), timm(json!({ "num_heads": 6 })));
    assert_eq!(print(&one), print(&same));
    assert_ne!(print(&one), print(&other));
    let zeroed = residual(&json!({}));
    assert_ne!(print(&one), print(&zeroed));
    assert!(LoadedBackbone::fingerprint("no/such/file").is_err());
}
