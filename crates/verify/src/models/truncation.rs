//! Texts cut after the last end give the features of the full context.

use super::weights;
use crate::checks::Checks;
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::Device;
use regulus_clip::{ClipConfig, Injection, LoadedClip, TokenBatch};
use serde_json::Value;
use std::path::{Path, PathBuf};

const TOLERANCE: f64 = 1e-5;

pub(crate) fn run(
    folder: &Path,
    io: &Recorded,
    device: &Device,
    rows: &mut Vec<Row>,
) -> Result<(), CaseError> {
    let (full, cut) = (io.rows("input_ids")?, io.rows("input_ids_truncated")?);
    let context = full.first().map_or(0, Vec::len);
    let LoadedClip { config, clip, .. } = model(folder, io, context, device)?;
    let none = Injection::none();
    let mut checks = Checks::new(io, "", rows);
    let context = TokenBatch::uncut(&full, &config.text)?;
    checks.tensor("text_features_full", &clip.encode_tokens(&context, &none), TOLERANCE)?;
    for (name, ids) in [("as recorded", &cut), ("cut here", &full)] {
        let tokens = TokenBatch::new(ids, &config.text)?;
        let features = clip.encode_tokens(&tokens, &none);
        let expected = io.flat("text_features_full")?;
        let unit = crate::checks::largest(&expected).max(1.0);
        let found = crate::checks::host(&features).map_err(CaseError::Unsupported)?;
        checks.values(&format!("text_features_full from ids {name}"), &found, &expected, TOLERANCE * unit);
        checks.tensor("text_features_truncated", &features, TOLERANCE)?;
    }
    checks.finish();
    Ok(())
}

/// The model that the texts were run through: a folder beside the case, whose name `result.json` tells.
fn model(folder: &Path, io: &Recorded, context: usize, device: &Device) -> Result<LoadedClip, CaseError> {
    let path = folder.join("result.json");
    let text =
        std::fs::read_to_string(&path).map_err(|source| CaseError::Read { path: path.clone(), source })?;
    let notes: Value =
        serde_json::from_str(&text).map_err(|source| CaseError::Json { path: path.clone(), source })?;
    let names = notes.as_array().into_iter().flatten().filter_map(|entry| entry["case"].as_str());
    let embed_dim = io.shape("text_features_full")?.last().copied();
    let fits = |config: &ClipConfig| config.text.context == context && Some(config.embed_dim) == embed_dim;
    let mut tried: Vec<String> = Vec::new();
    for name in names {
        let beside: PathBuf = folder.join("..").join(name);
        tried.push(name.to_string());
        let Some(file) = weights(&beside).ok().and_then(|files| files.into_iter().next()) else { continue };
        let loaded = LoadedClip::load(&file, device)?;
        if fits(&loaded.config) {
            return Ok(loaded);
        }
    }
    Err(CaseError::Unsupported(format!(
        "result.json names the models {tried:?}; none of them lies beside this folder with a context of {context} tokens"
    )))
}
