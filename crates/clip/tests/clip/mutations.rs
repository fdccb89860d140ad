//! Damaged folders: an error or a model, never a panic.

use crate::common::{devices, small_pretrained};
use proptest::prelude::*;
use regulus_clip::Pretrained;
use std::fs;

const FILES: [&str; 4] = ["model.safetensors", "config.json", "preprocessor_config.json", "tokenizer.json"];

/// `tokenizers` panics on this one when it is asked directly.
#[test]
fn a_decoder_that_is_none_is_no_problem() {
    let device = &devices()[0];
    let folder = tempfile::tempdir().unwrap();
    small_pretrained(device).save(folder.path()).unwrap();
    let path = folder.path().join("tokenizer.json");
    let tokenizer = fs::read_to_string(&path).unwrap();
    fs::write(&path, tokenizer.replace("\"decoder\": null", "\"decoder\": 5")).unwrap();
    assert!(Pretrained::load(folder.path(), device).is_ok());
    let precompiled = r#""normalizer": { "type": "Precompiled", "precompiled_charsmap": "AA" }, "x": "#;
    fs::write(&path, tokenizer.replace("\"normalizer\": ", precompiled)).unwrap();
    assert!(Pretrained::load(folder.path(), device).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic(
        file in 0..FILES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
    ) {
        let device = &devices()[0];
        let folder = tempfile::tempdir().unwrap();
        small_pretrained(device).save(folder.path()).unwrap();
        let path = folder.path().join(FILES[file]);
        let mut bytes = fs::read(&path).unwrap();
        for (place, value, in_front) in flips {
            // The interesting part of the weights is the header, which is the smaller one.
            let length = if in_front { bytes.len().min(4096) } else { bytes.len() };
            bytes[place.index(length)] = value;
        }
        fs::write(&path, bytes).unwrap();
        let _ = Pretrained::load(folder.path(), device);
    }

    #[test]
    fn truncated_files_are_errors(file in 0..FILES.len(), place: prop::sample::Index) {
        let device = &devices()[0];
        let folder = tempfile::tempdir().unwrap();
        small_pretrained(device).save(folder.path()).unwrap();
        let path = folder.path().join(FILES[file]);
        let bytes = fs::read(&path).unwrap();
        // The last byte of a JSON file is the line end, which nobody misses.
        fs::write(&path, &bytes[..place.index(bytes.len() - 1)]).unwrap();
        prop_assert!(Pretrained::load(folder.path(), device).is_err());
    }

    #[test]
    fn garbage_is_an_error(
        file in 0..FILES.len(),
        garbage in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let device = &devices()[0];
        let folder = tempfile::tempdir().unwrap();
        small_pretrained(device).save(folder.path()).unwrap();
        fs::write(folder.path().join(FILES[file]), garbage).unwrap();
        prop_assert!(Pretrained::load(folder.path(), device).is_err());
    }

    #[test]
    fn absurd_numbers_in_the_configuration_never_panic(
        field in prop::sample::select(vec![
            "hidden_size", "image_size", "intermediate_size", "max_position_embeddings",
            "num_attention_heads", "num_hidden_layers", "patch_size", "projection_dim", "vocab_size",
            "eos_token_id", "layer_norm_eps",
        ]),
        value in prop::sample::select(vec![
            "0", "-1", "1", "1e300", "0.5", "null", "\"\"", "[]", "[8, 4]", "4294967296",
            "18446744073709551615", "1000000000",
        ]),
    ) {
        let device = &devices()[0];
        let folder = tempfile::tempdir().unwrap();
        small_pretrained(device).save(folder.path()).unwrap();
        let path = folder.path().join("config.json");
        let lines = fs::read_to_string(&path).unwrap();
        let edited: Vec<String> = lines
            .lines()
            .map(|line| match line.trim_start().starts_with(&format!("\"{field}\"")) {
                true => format!("\"{field}\": {value}{}", if line.ends_with(',') { "," } else { "" }),
                false => line.to_string(),
            })
            .collect();
        fs::write(&path, edited.join("\n")).unwrap();
        let _ = Pretrained::load(folder.path(), device);
    }
}
