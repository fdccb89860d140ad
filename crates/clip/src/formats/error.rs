//! What can be wrong with a model that is to be loaded or saved.

use crate::config::ConfigError;
use crate::pretrained::PartsError;
use crate::resolution::ResolutionError;
use crate::tokenizer::TokenizerError;
use crate::weights::WeightsError;
use regulus_checkpoints::CheckpointError;
use regulus_images::PreprocessError;
use std::path::PathBuf;

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
    /// The folder holds no weights that could be meant.
    #[error("{}: no weights found; expected {expected}", .path.display())]
    NoWeights {
        /// The folder.
        path: PathBuf,
        /// The names that were looked for.
        expected: &'static str,
    },
    /// The folder holds several files that could be the weights.
    #[error("{}: several files could be the weights ({}); name one of them", .path.display(), .found.join(", "))]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// Names of the files.
        found: Vec<String>,
    },
    /// The weights are of no model that this crate knows.
    #[error(
        "{}: the tensors are not those of a CLIP model that is known here (the first is {first}); expected the names \
         of OpenAI, open_clip or HF CLIPModel", .path.display()
    )]
    UnknownModel {
        /// The weights file.
        path: PathBuf,
        /// Name of the first tensor, or "none".
        first: String,
    },
    /// The file holds several models, such as one and its moving average.
    #[error(
        "{}: holds several models, whose names begin with {}; save the one that is meant by itself",
        .path.display(), .prefixes.join(", ")
    )]
    SeveralModels {
        /// The weights file.
        path: PathBuf,
        /// What the names of each model's tensors begin with.
        prefixes: Vec<String>,
    },
    /// A number of the architecture cannot be read off the weights.
    #[error("{}: `{field}` cannot be told from the tensors ({reason}); state it in {config}", .path.display())]
    NotInferred {
        /// The weights file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// Why not.
        reason: String,
        /// The file that may state it.
        config: &'static str,
    },
    /// The weights cannot be brought to another resolution.
    #[error("{}: {source}", .path.display())]
    Resolution {
        /// The weights file.
        path: PathBuf,
        /// Why not.
        source: ResolutionError,
    },
    /// A checkpoint file cannot be opened.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
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
