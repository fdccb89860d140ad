//! What training leaves behind: a small safetensors file with the trained parameters and buffers, and in its metadata
//! everything needed to use them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use regulus_images::Preprocess;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::parameters::Parameters;

/// An adapter that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The values cannot be stored.
    #[error("cannot encode {path}: {reason}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What a user of the adapter has to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdapterCard {
    /// Identity of the experiment that trained it.
    pub experiment: String,
    /// Canonical TOML of that experiment.
    pub recipe: String,
    /// Digest of the base model's weights.
    pub base_sha256: String,
    /// Digest of the weights of the image encoder that was trained in the place of the base model's, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone_sha256: Option<String>,
    /// Class names in the order of the logits.
    pub class_names: Vec<String>,
    /// Prompt templates of the classifier.
    pub templates: Vec<String>,
    /// How images were prepared.
    pub preprocess: Preprocess,
    /// Precision of the stored values.
    pub precision: String,
    /// Accuracy of the trained model on each test split, in percent.
    pub accuracy: BTreeMap<String, f64>,
}

/// What the metadata holds.
#[derive(Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    card: &'a AdapterCard,
    /// Names of the tensors that are buffers; all others are trained parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    buffers: Vec<&'a String>,
}

/// Writes the trained parameters and the method's buffers with their card; replaces the file as a whole or not at all.
/// The names of the buffers are listed in the metadata, so that nothing else tells the two apart.
///
/// # Errors
/// [`AdapterError`] if the file cannot be encoded or written.
pub fn save(
    path: &Path,
    parameters: &Parameters,
    buffers: &BTreeMap<String, Tensor<1>>,
    card: &AdapterCard,
) -> Result<(), AdapterError> {
    let encode = |reason: String| AdapterError::Encode { path: path.to_owned(), reason };
    let bytes_of = |values: &Tensor<1>| -> Vec<u8> {
        values.to_data_as::<f32>().iter::<f32>().flat_map(f32::to_le_bytes).collect()
    };
    let trained = parameters.iter().map(|(name, leaf)| (name, (leaf.shape.clone(), bytes_of(&leaf.value))));
    let moved = buffers.iter().map(|(name, value)| (name, (value.dims().to_vec(), bytes_of(value))));
    let stored: BTreeMap<&String, (Vec<usize>, Vec<u8>)> = trained.chain(moved).collect();
    let views: Result<Vec<(&String, TensorView<'_>)>, String> = stored
        .iter()
        .map(|(name, (shape, bytes))| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            view.map(|view| (*name, view)).map_err(|error| error.to_string())
        })
        .collect();
    let card = serde_json::to_string(&Stored { card, buffers: buffers.keys().collect() })
        .map_err(|error| encode(error.to_string()))?;
    // One entry only: the order of several would differ from run to run.
    let metadata = HashMap::from([("regulus".to_owned(), card)]);
    let bytes = safetensors::serialize(views.map_err(encode)?, Some(metadata))
        .map_err(|error| encode(error.to_string()))?;
    crate::files::replace(path, &bytes)
        .map_err(|source| AdapterError::Write { path: path.to_owned(), source })
}
