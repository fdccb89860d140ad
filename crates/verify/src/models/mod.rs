//! Cases of models: a folder with weights and what the publisher's code computed with them.

mod backbone;
mod bert;
mod clip;

mod preprocess;
mod prompts;
mod tokenizer;
mod truncation;

use crate::checks::Checks;
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::Device;
use regulus_checkpoints::Checkpoint;
use regulus_clip::LoadedClip;
use std::path::{Path, PathBuf};

/// Recorded inputs and outputs.
const IO: &str = "io.safetensors";
/// Deep prompts of both towers.
const PROMPTS: &str = "prompts.safetensors";

/// Runs the case in `folder`: which one it is follows from what it records.
pub(crate) fn run(folder: &Path, device: &Device, rows: &mut Vec<Row>) -> Result<(), CaseError> {
    if folder.join("strings.json").is_file() {
        return tokenizer::run(folder, rows);
    }
    let io = Recorded::open(&folder.join(IO))?;
    if io.has("text_features_truncated") {
        truncation::run(folder, &io, device, rows)
    } else if folder.join(PROMPTS).is_file() {
        prompts::run(folder, &io, device, rows)
    } else if folder.join("index.json").is_file() && folder.join("images").is_dir() {
        preprocess::run(folder, &io, rows)
    } else if io.has("attention_mask") || io.has("last_hidden_state") {
        bert::run(folder, &io, device, rows)
    } else if io.has("pixel_values") && !io.has("input_ids") && !holds_clip(folder)? {
        backbone::run(folder, &io, device, rows)
    } else if io.has("pixel_values") || io.has("input_ids") {
        clip::run(folder, &io, device, rows)
    } else {
        Err(CaseError::Unsupported(
            "io.safetensors records neither `pixel_values` nor `input_ids`: nothing here knows what to run"
                .into(),
        ))
    }
}

/// Whether the weights of the folder are those of a CLIP.
fn holds_clip(folder: &Path) -> Result<bool, CaseError> {
    let checkpoints = weights(folder)?.into_iter().filter_map(|file| Checkpoint::open(file).ok());
    Ok(checkpoints.into_iter().any(|checkpoint| LoadedClip::is_in(&checkpoint)))
}

/// Loads every weights file of the folder and hands it to `compare`. A file that cannot be loaded is a failed
/// comparison. If any could be, all recorded tensors have to have been looked at.
fn with_each_file<Model>(
    folder: &Path,
    io: &Recorded,
    rows: &mut Vec<Row>,
    load: impl Fn(&Path) -> Result<Model, CaseError>,
    mut compare: impl FnMut(&mut Checks<'_>, &Path, Model) -> Result<(), CaseError>,
) -> Result<(), CaseError> {
    let files = weights(folder)?;
    let mut any_loaded = false;
    for file in &files {
        let with = if files.len() > 1 { file_name(file) } else { String::new() };
        let mut checks = Checks::new(io, with, rows);
        match load(file) {
            Ok(model) => {
                any_loaded = true;
                compare(&mut checks, file, model)?;
            }
            Err(error) => checks.problem("weights", error.to_string()),
        }
    }
    if any_loaded {
        Checks::new(io, "", rows).finish();
    }
    Ok(())
}

/// The files of a case's folder that hold weights, sorted.
fn weights(folder: &Path) -> Result<Vec<PathBuf>, CaseError> {
    let read = |source| CaseError::Read { path: folder.into(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if is_weights(&path) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(CaseError::Unsupported("the folder holds no weights".into()));
    }
    Ok(files)
}

/// Whether the file at `path` may hold weights: the shards of an index do only together.
fn is_weights(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let endings = [".safetensors", ".pt", ".pth", ".bin", ".tar", ".ckpt", ".index.json"];
    let is_recorded = name == IO || name == PROMPTS;
    path.is_file()
        && !is_recorded
        && !name.contains("-of-")
        && endings.iter().any(|ending| name.ends_with(ending))
}

/// The name of a file, to tell several apart.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
