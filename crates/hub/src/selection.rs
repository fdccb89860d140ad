//! Which files of a repository are fetched: what describes a model, and one set of weights.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use crate::error::{AtPath, FetchError};
use crate::pins::Pins;

/// Configuration, preprocessing and tokenizer: small files, each fetched if it is there.
const DESCRIPTIONS: [&str; 9] = [
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
];

/// Weights, in the order in which a folder is read: the first that is there is it.
pub(crate) const WEIGHTS: [&str; 6] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Longest index of shards that is read.
const MOST_INDEX_BYTES: u64 = 16 << 20;

/// The files of a repository that are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Everything but shards. The weights, or their index, are the last.
    pub(crate) files: Vec<&'static str>,
    /// The weights, or their index.
    pub(crate) weights: &'static str,
    /// The index, if there is one: it names further files.
    pub(crate) index: Option<&'static str>,
}

/// Chooses among files by their names, first of all weights that are pinned; `None` if there are no weights.
pub(crate) fn select(pins: Pins, is_there: impl Fn(&str) -> bool) -> Option<Selection> {
    let first =
        |allowed: &dyn Fn(&str) -> bool| WEIGHTS.into_iter().find(|name| is_there(name) && allowed(name));
    let weights = first(&|name| pins.allow(name)).or_else(|| first(&|_| true))?;
    let descriptions = DESCRIPTIONS.into_iter().filter(|name| is_there(name));
    Some(Selection {
        files: descriptions.chain([weights]).collect(),
        weights,
        index: weights.ends_with(".index.json").then_some(weights),
    })
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The shards that the index at `path` names. They lie beside it.
pub(crate) fn shards(path: &Path) -> Result<BTreeSet<String>, FetchError> {
    let wrong = |reason: String| FetchError::Index { path: path.to_owned(), reason };
    if std::fs::metadata(path).at(path)?.len() > MOST_INDEX_BYTES {
        return Err(wrong(format!("an index of more than {MOST_INDEX_BYTES} bytes is not read")));
    }
    let bytes = std::fs::read(path).at(path)?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("this is no index of shards: {error}")))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    if shards.is_empty() {
        return Err(wrong("it names no shards".into()));
    }
    match shards.iter().find(|name| !is_plain(name)) {
        Some(name) => Err(wrong(format!("{name:?} is not the name of a file beside it"))),
        None => Ok(shards),
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Option<Selection> {
        select(Pins::NONE, |name| names.contains(&name))
    }

    #[test]
    fn weights_are_chosen_in_the_order_in_which_a_folder_is_read() {
        for first in 0..WEIGHTS.len() {
            let selection = chosen(&WEIGHTS[first..]).unwrap();
            assert_eq!(selection.files, [WEIGHTS[first]]);
            assert_eq!(selection.index.is_some(), WEIGHTS[first].contains(".index."));
        }
        assert_eq!(
            chosen(&["config.json", "flax_model.msgpack", "tf_model.h5", "onnx/model.safetensors"]),
            None
        );
    }

    #[test]
    fn pinned_weights_come_first() {
        let pins = Pins(&[("pytorch_model.bin", "00")]);
        let chosen = |names: &[&str]| select(pins, |name| names.contains(&name)).unwrap().weights;
        assert_eq!(chosen(&["model.safetensors", "pytorch_model.bin"]), "pytorch_model.bin");
        assert_eq!(chosen(&["model.safetensors"]), "model.safetensors");
    }

    #[test]
    fn descriptions_come_with_one_set_of_weights() {
        let repository = [
            ".gitattributes",
            "README.md",
            "config.json",
            "flax_model.msgpack",
            "merges.txt",
            "model.safetensors",
            "preprocessor_config.json",
            "pytorch_model.bin",
            "tokenizer.json",
            "vocab.json",
        ];
        let selection = chosen(&repository).unwrap();
        let expected = [
            "config.json",
            "preprocessor_config.json",
            "tokenizer.json",
            "vocab.json",
            "merges.txt",
            "model.safetensors",
        ];
        assert_eq!(
            selection,
            Selection { files: expected.to_vec(), weights: "model.safetensors", index: None }
        );
    }

    #[test]
    fn shards_are_files_beside_their_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors.index.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            shards(&path)
        };
        let names =
            read(r#"{"metadata": {}, "weight_map": {"a": "x-1.bin", "b": "x-2.bin", "c": "x-1.bin"}}"#);
        assert_eq!(names.unwrap().into_iter().collect::<Vec<_>>(), ["x-1.bin", "x-2.bin"]);
        for name in ["../x.bin", "/x.bin", "sub/x.bin", "a\\\\b", ".x", ""] {
            let error = read(&format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#)).unwrap_err();
            assert!(error.to_string().contains("not the name of a file beside it"), "{error}");
        }
        assert!(read("{}").unwrap_err().to_string().contains("no index of shards"));
        assert!(read(r#"{"weight_map": {}}"#).unwrap_err().to_string().contains("no shards"));
    }
}
