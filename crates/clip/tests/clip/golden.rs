//! Agreement with the published implementations.

use crate::common::{Recorded, assert_close, devices, golden};
use burn::tensor::{Device, Tensor};
use regulus_clip::{
    Activation, Clip, ClipConfig, ImageConfig, ImageTower, Injection, LoadedClip, Part, Pooling, TextConfig,
    TokenBatch, VitConfig, normalise,
};
use std::collections::{BTreeMap, BTreeSet};

/// Tolerances of the recorded tensors.
const HIDDEN: f32 = 2e-5;
const REST: f32 = 1e-4;
const TRUNCATION: f32 = 1e-5;

#[test]
fn hf_image_tower_agrees() {
    for device in devices() {
        let io = Recorded::read("hf_vit/io.safetensors");
        let clip = LoadedClip::load(&golden("hf_vit"), &device).unwrap().clip;
        let ImageTower::Vit(vit) = &clip.visual else { panic!("another architecture") };
        let states = vit.hidden_states(io.tensor("pixel_values", &device), &Injection::none());
        let expect = |name: &str| io.tensor::<3>(name, &device);
        assert_close("embeddings", &states.embeddings, &expect("vision_embeddings"), HIDDEN);
        assert_close("block input", &states.block_input, &expect("vision_pre_layernorm"), HIDDEN);
        assert_eq!(states.blocks.len(), 3);
        for (index, block) in states.blocks.iter().enumerate() {
            let name = format!("vision_hidden_{index}");
            assert_close(&name, block, &expect(&name), HIDDEN);
        }
        assert_close("pooled", &states.pooled, &io.tensor("vision_pooled", &device), REST);
        assert_close("features", &states.features, &io.tensor("image_embeds_raw", &device), REST);
    }
}

#[test]
fn hf_text_tower_agrees_over_the_full_context() {
    for device in devices() {
        let io = Recorded::read("hf_vit/io.safetensors");
        let LoadedClip { config, clip, .. } = LoadedClip::load(&golden("hf_vit"), &device).unwrap();
        let tokens = TokenBatch::full_context(&io.ids("input_ids"), &config.text).unwrap();
        let states = clip.text.hidden_states(&tokens, &Injection::none());
        let expect = |name: &str| io.tensor::<3>(name, &device);
        assert_close("embeddings", &states.embeddings, &expect("text_embeddings"), HIDDEN);
        assert_eq!(states.blocks.len(), 3);
        for (index, block) in states.blocks.iter().enumerate() {
            let name = format!("text_hidden_{index}");
            assert_close(&name, block, &expect(&name), HIDDEN);
        }
        assert_close("normalised", &states.normalised, &expect("text_last_hidden_state"), HIDDEN);
        assert_close("pooled", &states.pooled, &io.tensor("text_pooled", &device), REST);
        assert_close("features", &states.features, &io.tensor("text_embeds_raw", &device), REST);
    }
}

#[test]
fn hf_features_and_logits_agree() {
    for device in devices() {
        let io = Recorded::read("hf_vit/io.safetensors");
        let clip = LoadedClip::load(&golden("hf_vit"), &device).unwrap().clip;
        let none = Injection::none();
        let images = clip.encode_image(io.tensor("pixel_values", &device), &none);
        assert_close("image", &normalise(images.clone()), &io.tensor("image_embeds", &device), REST);
        for ids in ["input_ids", "input_ids_eotpad"] {
            let texts = clip.encode_text(&io.ids(ids), &none);
            assert_close("raw text", &texts, &io.tensor("text_embeds_raw", &device), REST);
            assert_close("text", &normalise(texts.clone()), &io.tensor("text_embeds", &device), REST);
            let logits = clip.logits(images.clone(), texts, &none);
            assert_close("logits", &logits, &io.tensor("logits_per_image", &device), REST);
            let transposed = logits.transpose();
            assert_close("transposed logits", &transposed, &io.tensor("logits_per_text", &device), REST);
        }
    }
}

#[test]
fn hf_texts_with_the_old_end_id_are_read_at_the_highest_id() {
    for device in devices() {
        let io = Recorded::read("hf_vit/io.safetensors");
        let LoadedClip { mut config, clip, .. } = LoadedClip::load(&golden("hf_vit"), &device).unwrap();
        config.text.pooling = Pooling::HighestId;
        config.text.eot_id = 2;
        let tokens = TokenBatch::new(&io.ids("input_ids_eotpad"), &config.text).unwrap();
        let texts = clip.encode_tokens(&tokens, &Injection::none());
        assert_close("raw text", &texts, &io.tensor("text_embeds_raw", &device), REST);
    }
}

/// OpenAI's own small model, which holds its weights partly in half precision.
fn openai_model(device: &Device) -> (ClipConfig, Clip) {
    let config = ClipConfig {
        embed_dim: 32,
        image: ImageConfig::Vit(VitConfig {
            resolution: 32,
            patch: 8,
            width: 64,
            layers: 3,
            heads: 1,
            mlp_width: 256,
            activation: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }),
        text: TextConfig {
            vocab: 150,
            context: 20,
            width: 64,
            layers: 2,
            heads: 1,
            mlp_width: 256,
            activation: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            sot_id: 148,
            eot_id: 149,
            pad_id: 0,
            pooling: Pooling::HighestId,
        },
        logit_scale_init: 0.0,
    };
    let file = Recorded::read("openai_vit/model_mixed_fp16.safetensors");
    let mut weights = BTreeMap::new();
    for name in file.file().names() {
        let is_outside = name.starts_with("visual.") || name == "logit_scale";
        let path = if is_outside { name.to_string() } else { format!("text.{name}") };
        weights.insert(path, Tensor::from_floats(file.values(name).0.as_slice(), device));
    }
    let clip = Clip::init(&config, 0, device).unwrap();
    let paths: BTreeSet<String> = clip.parameters(Part::All).into_iter().map(|named| named.path).collect();
    assert_eq!(paths, weights.keys().cloned().collect());
    (config, clip.with_parameters(&weights).unwrap())
}

#[test]
fn cutting_texts_after_the_last_end_changes_no_feature() {
    for device in devices() {
        let io = Recorded::read("truncation/io.safetensors");
        let (config, clip) = openai_model(&device);
        let full = io.tensor("text_features_full", &device);
        let none = Injection::none();
        let ids = io.ids("input_ids");
        assert_close("cut", &clip.encode_text(&ids, &none), &full, TRUNCATION);
        let context = TokenBatch::full_context(&ids, &config.text).unwrap();
        assert_close("full context", &clip.encode_tokens(&context, &none), &full, TRUNCATION);
        let shorter = io.ids("input_ids_truncated");
        assert_close("cut before", &clip.encode_text(&shorter, &none), &full, TRUNCATION);
        assert_eq!(TokenBatch::new(&ids, &config.text).unwrap().length(), shorter[0].len());
    }
}
