//! Model folders in the layout of HF `transformers`' `CLIPModel`.
//!
//! Regulus ships and saves models in this layout, because most libraries read it.

pub(crate) mod config;
mod names;
pub(crate) mod preprocess;

pub(crate) use names::HfClipLayout;

use crate::clip::Clip;
use crate::config::{ClipConfig, ConfigError};
use crate::pretrained::PartsError;
use crate::tokenizer::TokenizerError;
use crate::weights::{self, WeightsError};
use burn::tensor::Device;
use regulus_checkpoints::{Checkpoint, sha256};
use regulus_images::PreprocessError;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// The architecture.
pub(crate) const CONFIG_FILE: &str = "config.json";
/// The weights.
pub(crate) const WEIGHTS_FILE: &str = "model.safetensors";
/// The tokenizer.
pub(crate) const TOKENIZER_FILE: &str = "tokenizer.json";
/// What `transformers` wants to know about the tokenizer besides. Written, never read.
pub(crate) const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";
/// The preprocessing of images.
pub(crate) const PREPROCESS_FILE: &str = "preprocessor_config.json";

/// A model folder that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file of the folder is missing.
    #[error("{}: not found, expected {expected}", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A file is not the JSON that it should be.
    #[error("{}: {source}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        source: serde_json::Error,
    },
    /// A field has a value that `transformers` may accept but this crate does not.
    #[error("{}: `{field}` is {found}, expected {expected}", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What is supported.
        expected: &'static str,
    },
    /// The architecture is not valid.
    #[error("{}: {source}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// All faults.
        source: ConfigError,
    },
    /// The preprocessing is not valid.
    #[error("{}: {source}", .path.display())]
    Preprocess {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: PreprocessError,
    },
    /// The weights cannot be read or do not fit the configuration.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The tokenizer cannot be read.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The files contradict each other.
    #[error("{}: {source}", .path.display())]
    Parts {
        /// The folder.
        path: PathBuf,
        /// All contradictions.
        source: PartsError,
    },
}

/// A model that cannot be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The layout has no way to say what the configuration says.
    #[error("`{field}` is {value}, which the layout cannot represent: {reason}")]
    Unrepresentable {
        /// The field of the configuration.
        field: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// The values cannot be written as JSON.
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A file or folder cannot be written.
    #[error("{}: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The weights cannot be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// A JSON file that has been read but not yet understood.
pub(crate) struct Json {
    pub path: PathBuf,
    text: String,
}

impl Json {
    /// Reads the file `name` of the folder `directory`.
    pub(crate) fn read(directory: &Path, name: &str, expected: &'static str) -> Result<Self, LoadError> {
        let path = existing(directory, name, expected)?;
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(source) => Err(LoadError::Read { path, source }),
        }
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, LoadError> {
        serde_json::from_str(&self.text).map_err(|source| LoadError::Json { path: self.path.clone(), source })
    }

    pub(crate) fn unsupported(
        &self,
        field: &'static str,
        found: impl Display,
        expected: &'static str,
    ) -> LoadError {
        LoadError::Unsupported { path: self.path.clone(), field, found: found.to_string(), expected }
    }
}

/// The path of the file `name` of the folder `directory`.
pub(crate) fn existing(directory: &Path, name: &str, expected: &'static str) -> Result<PathBuf, LoadError> {
    let path = directory.join(name);
    if path.exists() { Ok(path) } else { Err(LoadError::Missing { path, expected }) }
}

/// Architecture and weights of a model folder, without tokenizer and preprocessing.
#[derive(Debug, Clone)]
pub struct LoadedClip {
    /// The architecture.
    pub config: ClipConfig,
    /// The model.
    pub clip: Clip,
    /// SHA-256 of the weights file, in hexadecimal.
    pub sha256: String,
}

impl LoadedClip {
    /// Loads `config.json` and `model.safetensors` of the folder `directory`.
    ///
    /// # Errors
    /// [`LoadError`]: a missing or unreadable file, an invalid or unsupported configuration, or
    /// weights that do not fit it, with all tensors that are missing, unused or misshapen.
    pub fn load(directory: &Path, device: &Device) -> Result<Self, LoadError> {
        let json = Json::read(directory, CONFIG_FILE, "the configuration of an HF CLIPModel")?;
        let config = config::parse(&json)?;
        let path = existing(directory, WEIGHTS_FILE, "the weights of an HF CLIPModel")?;
        let checkpoint = Checkpoint::open(&path).map_err(WeightsError::from)?;
        let vacant =
            Clip::vacant(&config, device).map_err(|source| LoadError::Config { path: json.path, source })?;
        let clip = weights::read(vacant, &HfClipLayout, &checkpoint, device)?;
        Ok(Self { config, clip, sha256: checkpoint.sha256() })
    }
}

/// SHA-256 over the digests of all files that [`Pretrained::load`](crate::Pretrained::load) reads: what a run
/// depends on, without loading it.
pub(crate) fn fingerprint(directory: &Path) -> Result<String, LoadError> {
    let files = [
        (CONFIG_FILE, "the configuration of an HF CLIPModel"),
        (WEIGHTS_FILE, "the weights of an HF CLIPModel"),
        (TOKENIZER_FILE, "the model's tokenizer"),
        (PREPROCESS_FILE, "the preprocessing of the model's images"),
    ];
    let mut digests = String::new();
    for (name, expected) in files {
        let path = existing(directory, name, expected)?;
        match std::fs::read(&path) {
            Ok(bytes) => digests += &sha256(&bytes),
            Err(source) => return Err(LoadError::Read { path, source }),
        }
    }
    Ok(sha256(digests.as_bytes()))
}

fn pretty(value: &impl Serialize) -> Result<String, SaveError> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
