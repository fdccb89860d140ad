//! Where folders of the hub keep their weights.

use crate::hf::LoadError;
use crate::weights::WeightsError;
use regulus_checkpoints::Checkpoint;
use std::path::Path;

/// Names of weights files, the preferred first. An index names the files that hold the tensors.
const WEIGHTS_FILES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Opens the weights of the folder `directory`.
pub(crate) fn open_weights(directory: &Path, expected: &'static str) -> Result<Checkpoint, LoadError> {
    let paths = WEIGHTS_FILES.map(|name| directory.join(name));
    let [preferred, ..] = &paths;
    let path = paths.iter().find(|path| path.exists());
    let path = path.ok_or_else(|| LoadError::Missing { path: preferred.clone(), expected })?;
    Ok(Checkpoint::open(path).map_err(WeightsError::from)?)
}
