//! Finding the weights of a model, given a folder or the file itself.

use super::LoadError;
use regulus_checkpoints::{Checkpoint, sha256};
use std::path::{Path, PathBuf};

/// The usual names, in the order of preference.
const USUAL: [&str; 7] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.safetensors",
];

/// What files of weights of any other name end in.
const ENDINGS: [&str; 6] = ["safetensors", "pt", "pth", "bin", "ckpt", "tar"];

/// Files that describe the weights beside them.
const DESCRIBING: [&str; 10] = [
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "bpe_simple_vocab_16e6.txt.gz",
    "bpe_simple_vocab_16e6.txt",
];

/// The weights of a model, and the folder in which whatever describes them lies.
#[derive(Debug, Clone)]
pub(crate) struct ModelFiles {
    /// The weights, or the index of their shards.
    pub weights: PathBuf,
    folder: PathBuf,
}

impl ModelFiles {
    /// The weights at `path`, a file, or in the folder `path`: under a usual name, or else the only file that
    /// could be weights.
    pub(crate) fn find(path: &Path) -> Result<Self, LoadError> {
        if !path.exists() {
            return Err(LoadError::Missing {
                path: path.into(),
                expected: "a model folder or a weights file",
            });
        }
        if !path.is_dir() {
            let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
            return Ok(Self { weights: path.into(), folder });
        }
        let usual = USUAL.iter().map(|name| path.join(name)).find(|file| file.is_file());
        let weights = match usual {
            Some(file) => file,
            None => only_candidate(path)?,
        };
        Ok(Self { weights, folder: path.into() })
    }

    /// The file `name` beside the weights, if there is one.
    pub(crate) fn beside(&self, name: &str) -> Option<PathBuf> {
        let path = self.folder.join(name);
        path.is_file().then_some(path)
    }

    /// SHA-256 over the weights and the files that describe them, in hexadecimal.
    pub(crate) fn fingerprint(&self) -> Result<String, LoadError> {
        let mut digests = Checkpoint::open(&self.weights)?.sha256().get().to_string();
        for name in DESCRIBING {
            if let Some(path) = self.beside(name) {
                let bytes = std::fs::read(&path).map_err(|source| LoadError::Read { path, source })?;
                digests += name;
                digests += &sha256(&bytes);
            }
        }
        Ok(sha256(digests.as_bytes()))
    }

    /// The folder of the model.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn only_candidate(folder: &Path) -> Result<PathBuf, LoadError> {
    let read = |source| LoadError::Read { path: folder.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            found.push(path);
        }
    }
    found.sort();
    match found.as_slice() {
        [] => Err(LoadError::NoWeights {
            path: folder.into(),
            expected: "model.safetensors, pytorch_model.bin, open_clip_model.safetensors, an index of shards, or \
                       a single .safetensors, .pt, .pth, .bin, .ckpt or .tar file",
        }),
        [file] => Ok(file.clone()),
        files => {
            let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Err(LoadError::Ambiguous { path: folder.into(), found: files.iter().map(name).collect() })
        }
    }
}
