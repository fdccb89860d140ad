//! Tokenizers from files: each source, the order in a folder, and files that are damaged.

use proptest::prelude::*;
use regulus_clip::{Tokenizer, TokenizerError};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// CLIP's byte pairs with a small vocabulary, in the forms of HF `transformers`.
const VOCAB: &str = concat!(
    r#"{"c":0,"a":1,"t":2,"t</w>":3,"s</w>":4,"ca":5,"cat</w>":6,"#,
    r#""<|startoftext|>":7,"<|endoftext|>":8}"#
);
const MERGES: &str = "#version: 0.2\nc a\nca t</w>\n";
const OPENAI: &str = "\"bpe_simple_vocab_16e6.txt#version: 0.2\nc a\nca t</w>\n";
const WORD_PIECES: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\ncat\nCat\n##s\n";

fn tokenizer_json() -> Value {
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [token("<|startoftext|>", 7), token("<|endoftext|>", 8)],
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            {
                "type": "Split", "behavior": "Removed", "invert": true,
                "pattern": { "Regex": r"'s|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+" }
            },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true }
        ] },
        "post_processor": {
            "type": "RobertaProcessing", "sep": ["<|endoftext|>", 8], "cls": ["<|startoftext|>", 7],
            "trim_offsets": false, "add_prefix_space": false
        },
        "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<|endoftext|>", "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false,
            "vocab": serde_json::from_str::<Value>(VOCAB).unwrap(), "merges": ["c a", "ca t</w>"]
        }
    })
}

fn token(content: &str, id: u32) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true
    })
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text, 77).unwrap()
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        fs::write(folder.path().join(name), contents).unwrap();
    }
    folder
}

fn loaded(files: &[(&str, &[u8])]) -> Result<Option<Tokenizer>, TokenizerError> {
    Tokenizer::from_folder(folder(files).path())
}

#[test]
fn a_folder_gives_what_it_brings_in_a_fixed_order() {
    assert!(loaded(&[("merges.txt", b"")]).unwrap().is_none());
    let json = tokenizer_json().to_string();
    let files: [(&str, &[u8]); 5] = [
        ("vocab.txt", WORD_PIECES.as_bytes()),
        ("bpe_simple_vocab_16e6.txt", OPENAI.as_bytes()),
        ("merges.txt", MERGES.as_bytes()),
        ("vocab.json", VOCAB.as_bytes()),
        ("tokenizer.json", json.as_bytes()),
    ];
    let starts = [1, 2, 4, 5].map(|number| loaded(&files[..number]).unwrap().unwrap().sot_id());
    assert_eq!(starts, [2, 514, 7, 7]);
    let missing = loaded(&[("vocab.json", VOCAB.as_bytes())]).unwrap_err();
    assert!(
        matches!(&missing, TokenizerError::Read { path, .. } if path.ends_with("merges.txt")),
        "{missing}"
    );
}

#[test]
fn clips_tokenizer_json_reads_texts_as_openai_does() {
    let json = tokenizer_json().to_string();
    let clip = loaded(&[("tokenizer.json", json.as_bytes())]).unwrap().unwrap();
    assert_eq!(ids(&clip, "CAT&rsquo;s"), ids(&clip, "cat's"));
    assert_eq!(ids(&clip, "ＣＡＴ"), [7, 6, 8]);
    // A token of its own makes it another tokenizer.
    let mut own = tokenizer_json();
    own["added_tokens"].as_array_mut().unwrap().push(token("cat-toy", 9));
    let own = own.to_string();
    let own = loaded(&[("tokenizer.json", own.as_bytes())]).unwrap().unwrap();
    assert_eq!(ids(&own, "cat-toy"), [7, 9, 8]);
    assert_eq!(ids(&own, "ＣＡＴ"), ids(&own, "ｃａｔ"));
    assert_ne!(ids(&own, "ＣＡＴ"), [7, 6, 8]);
}

#[test]
fn bert_reads_small_letters_unless_told_otherwise() {
    let vocab = ("vocab.txt", WORD_PIECES.as_bytes());
    let read = |config: &str| match config {
        "" => loaded(&[vocab]).map(Option::unwrap),
        config => loaded(&[vocab, ("tokenizer_config.json", config.as_bytes())]).map(Option::unwrap),
    };
    assert_eq!(ids(&read("").unwrap(), "Cats"), [2, 4, 6, 3]);
    assert_eq!(ids(&read("{}").unwrap(), "Cats"), [2, 4, 6, 3]);
    assert_eq!(ids(&read(r#"{"do_lower_case":false}"#).unwrap(), "Cats dog"), [2, 5, 6, 1, 3]);
    assert!(matches!(read(r#"{"do_lower_case":"no"}"#), Err(TokenizerError::Format { .. })));
    let without = loaded(&[("vocab.txt", b"[CLS]\n[UNK]\ncat\n")]).unwrap_err();
    assert!(matches!(&without, TokenizerError::Token { token, .. } if token == "[SEP]"), "{without}");
}

#[test]
fn missing_files_are_named() {
    let path = Path::new("no/such/file");
    for error in [
        Tokenizer::from_hf_file(path),
        Tokenizer::from_openai_file(path),
        Tokenizer::from_word_piece(path, true),
        Tokenizer::from_vocab_and_merges(path, path),
    ] {
        assert!(error.unwrap_err().to_string().contains("file"));
    }
}

type Files = Vec<(&'static str, Vec<u8>)>;

/// The files of each source, and which of them is damaged.
fn sources() -> Vec<(Files, usize)> {
    let packed = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/clip_merges.txt.gz")).unwrap();
    let slow = || vec![("vocab.json", VOCAB.into()), ("merges.txt", MERGES.into())];
    let bert = || {
        vec![
            ("vocab.txt", WORD_PIECES.into()),
            ("tokenizer_config.json", b"{\"do_lower_case\":true}".to_vec()),
        ]
    };
    vec![
        (vec![("tokenizer.json", tokenizer_json().to_string().into_bytes())], 0),
        (slow(), 0),
        (slow(), 1),
        (vec![("bpe_simple_vocab_16e6.txt", OPENAI.into())], 0),
        (vec![("bpe_simple_vocab_16e6.txt.gz", packed)], 0),
        (bert(), 0),
        (bert(), 1),
    ]
}

fn read_damaged(source: usize, damage: impl Fn(&mut Vec<u8>)) {
    let (mut files, damaged) = sources().swap_remove(source);
    damage(&mut files[damaged].1);
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &**bytes)).collect();
    if let Ok(Some(tokenizer)) = loaded(&files) {
        let _ = tokenizer.encode("Cats &amp; dogs é <|endoftext|>", 77);
        let _ = tokenizer.encode_truncated("", 3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic(
        source in 0..7_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        read_damaged(source, |bytes| {
            for (place, value) in &flips {
                let place = place.index(bytes.len());
                bytes[place] = *value;
            }
        });
    }

    #[test]
    fn cut_files_never_panic(source in 0..7_usize, place: prop::sample::Index) {
        read_damaged(source, |bytes| bytes.truncate(place.index(bytes.len())));
    }

    #[test]
    fn values_of_another_kind_never_panic(
        place: prop::sample::Index,
        value in prop::sample::select(vec![
            "null", "true", "-1", "0", "1.5", "4294967295", "18446744073709551615", r#""""#, r#""x""#, "[]",
            "{}",
            r#"["<|endoftext|>", 9]"#, r#"{"type":"Lowercase"}"#, r#"{"Regex":"("}"#,
            r#"{"Regex":"(a+)+$"}"#, r#"{"String":""}"#,
        ]),
    ) {
        let mut json = tokenizer_json();
        let mut leaves = Vec::new();
        collect(&json, String::new(), &mut leaves);
        *json.pointer_mut(&leaves[place.index(leaves.len())]).unwrap() = serde_json::from_str(value).unwrap();
        if let Ok(Some(tokenizer)) = loaded(&[("tokenizer.json", json.to_string().as_bytes())]) {
            let _ = tokenizer.encode("Cats &amp; dogs é <|endoftext|>", 77);
        }
    }
}

/// The places of all values inside a value.
fn collect(value: &Value, place: String, places: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(object) => {
            object
                .iter()
                .for_each(|(key, value)| collect(value, format!("{place}/{}", escaped(key)), places));
        }
        Value::Array(array) => {
            array
                .iter()
                .enumerate()
                .for_each(|(index, value)| collect(value, format!("{place}/{index}"), places));
        }
        _ => {}
    }
    if !place.is_empty() {
        places.push(place);
    }
}
