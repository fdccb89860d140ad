//! Valid files of models changed at random: an error or a model, never a panic, a hang or memory without bounds.
//!
//! Inputs that once did worse lie in `tests/regressions/<target>/`. The containers of tensors have their own tests
//! in `regulus-checkpoints`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use burn::tensor::Device;
use regulus_clip::{LoadedBackbone, LoadedBert, LoadedClip, Tokenizer};
use regulus_mutation::{CountingAllocator, Limits, Target};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const JSON_WORDS: [&[u8]; 12] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"-1",
    b"0",
    b"1e308",
    b"18446744073709551615",
    b"\"\\ud800\"",
];

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn golden(name: &str) -> PathBuf {
    tests().join("golden").join(name)
}

/// Mutates the file `mutated` of a copy of the files `folder/names` and hands the copy to `load`.
fn check(target: &str, folder: &str, names: &[&str], mutated: &str, load: impl Fn(&Path)) {
    let copy = tempfile::tempdir().unwrap();
    for name in names {
        fs::copy(golden(folder).join(name), copy.path().join(name)).unwrap();
    }
    let seed = fs::read(golden(folder).join(mutated)).unwrap();
    check_seeds(target, vec![seed], |bytes| {
        fs::write(copy.path().join(mutated), bytes).unwrap();
        load(copy.path());
    });
}

fn check_seeds(name: &str, seeds: Vec<Vec<u8>>, reader: impl Fn(&[u8])) {
    let mut target = Target::new(name, seeds);
    target.words = JSON_WORDS.to_vec();
    // The models themselves are larger than what is mutated: a configuration, or a tokenizer's description.
    target.limits = Limits { per_byte: 200, fixed: 64 << 20, deadline: Duration::from_secs(10) };
    target.replay(&tests().join("regressions").join(name), &reader);
    target.check(reader);
}

fn clip(path: &Path) {
    let _ = LoadedClip::load(path, &Device::flex());
}

#[test]
fn configuration_of_hf() {
    let names = ["config.json", "model.safetensors"];
    check("hf_config", "hf_containers/single", &names, "config.json", clip);
}

#[test]
fn configuration_of_open_clip() {
    let names = ["open_clip_config.json", "open_clip_model.safetensors"];
    check("open_clip_config", "open_clip/gelu", &names, "open_clip_config.json", clip);
}

#[test]
fn configuration_of_openai() {
    check("openai_config", "ivlp", &["config.json", "clip_fp16.safetensors"], "config.json", clip);
}

#[test]
fn weights_of_hf() {
    check("hf_weights", "hf_containers/bin", &["config.json"], "pytorch_model.bin", clip);
}

#[test]
fn index_of_shards() {
    let names = ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    check("index", "hf_containers/sharded", &names, "model.safetensors.index.json", clip);
}

#[test]
fn archive_of_openai() {
    let seed = fs::read(golden("openai_rn/jit_mixed_fp16.pt")).unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::copy(golden("openai_rn/config.json"), copy.path().join("config.json")).unwrap();
    check_seeds("openai_archive", vec![seed], |bytes| {
        fs::write(copy.path().join("model.pt"), bytes).unwrap();
        clip(copy.path());
    });
}

#[test]
fn backbones() {
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("model.pth");
    let seeds = ["tes_resnet/resnet.safetensors", "vit_backbone/timm/model.safetensors"];
    check_seeds("backbone", seeds.map(|name| fs::read(golden(name)).unwrap()).to_vec(), |bytes| {
        fs::write(&path, bytes).unwrap();
        let _ = LoadedBackbone::load(&path, &Device::flex());
    });
}

#[test]
fn configuration_of_timm() {
    let names = ["config.json", "model.safetensors"];
    let copy = tempfile::tempdir().unwrap();
    for name in names {
        fs::copy(golden("vit_backbone/timm").join(name), copy.path().join(name)).unwrap();
    }
    let seed = br#"{"architecture": "vit", "num_heads": 3, "model_args": {"depth": 2}, "pretrained_cfg": {
        "input_size": [3, 24, 24], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}"#;
    check_seeds("timm_config", vec![seed.to_vec()], |bytes| {
        fs::write(copy.path().join("config.json"), bytes).unwrap();
        let _ = LoadedBackbone::load(copy.path(), &Device::flex());
    });
}

#[test]
fn configuration_of_bert() {
    check("bert_config", "bert", &["config.json", "model.safetensors"], "config.json", |path| {
        let _ = LoadedBert::load(path, &Device::flex());
    });
}

/// Loads the tokenizer of a folder and uses it.
fn tokenize(folder: &Path) {
    if let Ok(Some(tokenizer)) = Tokenizer::from_folder(folder) {
        let _ = tokenizer.encode("A photo of a cat, don't you think? \u{1F431} 42", 77);
    }
}

#[test]
fn tokenizer_json() {
    let copy = tempfile::tempdir().unwrap();
    let world = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/world-clip/tokenizer.json");
    let word_level = fs::read(world).unwrap();
    check_seeds("tokenizer_json", vec![word_level, small_bpe().into_bytes()], |bytes| {
        fs::write(copy.path().join("tokenizer.json"), bytes).unwrap();
        tokenize(copy.path());
    });
}

/// CLIP's kind of `tokenizer.json` with a handful of merges.
fn small_bpe() -> String {
    let vocab =
        ["a", "b", "c", "a</w>", "b</w>", "c</w>", "ab", "abc</w>", "<|startoftext|>", "<|endoftext|>"];
    let vocab: Vec<String> = vocab.iter().enumerate().map(|(id, token)| format!("{token:?}: {id}")).collect();
    let special = |id: usize, token: &str| {
        format!(
            r#"{{"id": {id}, "content": "{token}", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}}"#
        )
    };
    format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [{}, {}], "normalizer": {{"type": "Lowercase"}},
            "pre_tokenizer": {{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}},
            "post_processor": {{"type": "RobertaProcessing", "sep": ["<|endoftext|>", 9], "cls": ["<|startoftext|>", 8],
                "trim_offsets": false, "add_prefix_space": false}},
            "decoder": null,
            "model": {{"type": "BPE", "dropout": null, "unk_token": "<|endoftext|>", "continuing_subword_prefix": "",
                "end_of_word_suffix": "</w>", "fuse_unk": false, "vocab": {{{}}}, "merges": ["a b", "ab c</w>"]}}}}"#,
        special(8, "<|startoftext|>"),
        special(9, "<|endoftext|>"),
        vocab.join(", ")
    )
}

#[test]
fn merges_of_openai() {
    let copy = tempfile::tempdir().unwrap();
    let merges = b"#version: 0.2\na b\nab c</w>\nc a\nca t</w>\n".to_vec();
    check_seeds("openai_merges", vec![merges], |bytes| {
        fs::write(copy.path().join("bpe_simple_vocab_16e6.txt"), bytes).unwrap();
        tokenize(copy.path());
    });
}

#[test]
fn vocabulary_of_bert() {
    let copy = tempfile::tempdir().unwrap();
    let vocabulary = fs::read(golden("tokenizer/bert_vocab.txt")).unwrap();
    check_seeds("bert_vocab", vec![vocabulary], |bytes| {
        fs::write(copy.path().join("vocab.txt"), bytes).unwrap();
        tokenize(copy.path());
    });
}
