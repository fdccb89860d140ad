//! The spellings of configurations on the hub.

use crate::common::{devices, small_pretrained};
use regulus_clip::{Activation, ImageConfig, LoadError, Pooling, Pretrained};
use regulus_images::Filter;
use serde_json::{Value, json};
use std::fs;

/// Loads the small model after `edit` has changed one of its JSON files.
fn load_with(file: &str, edit: impl Fn(&mut Value)) -> Result<Pretrained, LoadError> {
    let device = &devices()[0];
    let folder = tempfile::tempdir().unwrap();
    small_pretrained(device).save(folder.path()).unwrap();
    let path = folder.path().join(file);
    let mut value: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(&path, value.to_string()).unwrap();
    Pretrained::load(folder.path(), device)
}

#[test]
fn a_config_dict_wins_over_the_config_of_the_same_tower() {
    let loaded = load_with("config.json", |config| {
        config["text_config_dict"] = config["text_config"].clone();
        config["text_config"] = json!({ "hidden_size": 123, "num_hidden_layers": 1 });
        config["vision_config_dict"] = Value::Null;
    });
    assert_eq!(loaded.unwrap().config.text.width, 8);
}

#[test]
fn missing_fields_have_the_defaults_of_transformers() {
    let error = load_with("config.json", |config| *config = json!({})).unwrap_err();
    let message = error.to_string();
    for part in [
        "missing: text_model.encoder.layers.11.mlp.fc1.bias, expected with shape [2048]",
        "missing: vision_model.encoder.layers.11.mlp.fc2.weight, expected with shape [768, 3072]",
        "vision_model.embeddings.patch_embedding.weight has shape [12, 3, 4, 4], expected [768, 3, 32, 32]",
        "text_model.embeddings.token_embedding.weight has shape [7, 8], expected [49408, 512]",
        "visual_projection.weight has shape [6, 12], expected [512, 768]",
    ] {
        assert!(message.contains(part), "{part}");
    }
}

#[test]
fn the_old_end_id_means_the_highest_id() {
    let loaded = load_with("config.json", |config| config["text_config"]["eos_token_id"] = json!(2));
    let loaded = loaded.unwrap();
    assert_eq!(loaded.config.text.pooling, Pooling::HighestId);
    let folder = tempfile::tempdir().unwrap();
    loaded.save(folder.path()).unwrap();
    let again = Pretrained::load(folder.path(), &devices()[0]).unwrap();
    assert_eq!(again.config, loaded.config);
}

#[test]
fn activations_are_known_by_their_hub_names() {
    let names = [
        ("quick_gelu", Activation::QuickGelu),
        ("gelu", Activation::Gelu),
        ("gelu_new", Activation::GeluTanh),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
    ];
    for (name, activation) in names {
        let loaded = load_with("config.json", |config| config["vision_config"]["hidden_act"] = json!(name));
        let ImageConfig::Vit(vit) = loaded.unwrap().config.image else { panic!("another architecture") };
        assert_eq!(vit.activation, activation);
    }
    let error = load_with("config.json", |config| config["vision_config"]["hidden_act"] = json!("relu"));
    let message = error.unwrap_err().to_string();
    assert!(message.contains("vision_config.hidden_act") && message.contains("relu"), "{message}");
}

#[test]
fn faults_of_a_configuration_are_all_listed() {
    let error = load_with("config.json", |config| {
        config["vision_config"]["num_attention_heads"] = json!(5);
        config["vision_config"]["patch_size"] = json!(9);
        config["text_config"]["num_hidden_layers"] = json!(0);
        config["text_config"]["vocab_size"] = json!(6);
    });
    let message = error.unwrap_err().to_string();
    for part in
        ["config.json", "image.width is 12", "image.patch is 9", "text.layers is 0", "text.eot_id is 6"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn sizes_of_preprocessing_are_read_in_all_their_forms() {
    for (size, crop) in
        [(json!(9), json!(8)), (json!({ "shortest_edge": 9 }), json!({ "height": 8, "width": 8 }))]
    {
        let loaded = load_with("preprocessor_config.json", |config| {
            config["size"] = size.clone();
            config["crop_size"] = crop.clone();
            config["resample"] = json!(2);
        });
        let preprocess = loaded.unwrap().preprocess;
        assert_eq!((preprocess.resize, preprocess.crop), (9, 8));
        assert_eq!(preprocess.filter, Filter::Bilinear);
    }
}

#[test]
fn preprocessing_that_would_be_another_is_refused() {
    for (field, value) in [
        ("do_center_crop", json!(false)),
        ("do_normalize", json!(false)),
        ("resample", json!(0)),
        ("rescale_factor", json!(1.0)),
        ("size", json!({ "height": 8, "width": 8 })),
        ("crop_size", json!({ "height": 8, "width": 9 })),
        ("image_std", json!([0.0, 1.0, 1.0])),
        ("image_mean", json!([0.0, 1.0])),
    ] {
        let error = load_with("preprocessor_config.json", |config| config[field] = value.clone());
        let message = error.unwrap_err().to_string();
        assert!(message.contains("preprocessor_config.json"), "{message}");
        let named = [field, "`std`", "line 1"].iter().any(|name| message.contains(name));
        assert!(named, "{field}: {message}");
    }
}

#[test]
fn a_tokenizer_without_end_token_is_refused() {
    let error = load_with("tokenizer.json", |tokenizer| tokenizer["post_processor"] = Value::Null);
    assert!(matches!(error, Err(LoadError::Tokenizer(_))));
}
