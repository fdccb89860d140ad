//! Agreement with the published implementations.

use crate::common::{Recorded, assert_close, devices, golden};
use regulus_clip::{ImageTower, Injection, LoadedClip, Pooling, TokenBatch, normalise};

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

#[test]
fn cutting_texts_after_the_last_end_changes_no_feature() {
    for device in devices() {
        let io = Recorded::read("truncation/io.safetensors");
        let path = golden("openai_vit/model_mixed_fp16.safetensors");
        let LoadedClip { config, clip, .. } = LoadedClip::load(&path, &device).unwrap();
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
