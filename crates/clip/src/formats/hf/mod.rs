//! Model folders in the layout of HF `transformers`' `CLIPModel`.
//!
//! Regulus ships and saves models in this layout, because most libraries read it.

pub(crate) mod config;
mod names;
pub(crate) mod preprocess;

pub(crate) use names::HfClipLayout;

use super::{Description, Json, LoadError, ModelFiles, Publisher};

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

/// Describes the model whose tensors' names begin with `prefix`.
pub(crate) fn describe(files: &ModelFiles, prefix: &str) -> Result<Description, LoadError> {
    let json = Json::read(files.folder(), CONFIG_FILE, "the configuration of an HF CLIPModel")?;
    Ok(Description {
        publisher: Publisher::Hf,
        config: config::parse(&json)?,
        layout: Box::new(HfClipLayout { prefix: prefix.to_string() }),
        preprocess: None,
        adapts_resolution: false,
        notices: Vec::new(),
    })
}
