//! Writing a checkpoint, one tensor after the other: its file is larger than the model, and never in memory.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use burn::tensor::Tensor;
use safetensors::SafeTensorError;

use super::Saved;
use super::card::{
    AGGREGATE, BUFFERS, Card, ENTRY, FIRST, NO_DIGEST, PARAMETERS, SECOND, SELECTED, SELECTED_BUFFERS,
    VERSION, digest, header, place,
};
use crate::files;
use crate::parameters::Parameters;
use crate::stored_values::StoredTensor;

/// Why a checkpoint was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The system refuses.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The state cannot be encoded.
    #[error("{0}")]
    Encode(String),
}

impl From<SafeTensorError> for Fault {
    fn from(error: SafeTensorError) -> Self {
        match error {
            SafeTensorError::IoError(error) => Self::File(error),
            other => Self::Encode(other.to_string()),
        }
    }
}

type Tensors<'a> = BTreeMap<String, StoredTensor<'a>>;

/// Writes the checkpoint of the run `identity`, as a whole or not at all.
pub(super) fn write(saved: &Saved, identity: &str, path: &Path) -> Result<(), Fault> {
    let tensors = tensors(saved).map_err(Fault::Encode)?;
    let card =
        serde_json::to_string(&card(saved, identity)).map_err(|error| Fault::Encode(error.to_string()))?;
    let metadata = Some(HashMap::from([(ENTRY.to_owned(), card)]));
    files::replace_by(path, |temporary| {
        safetensors::serialize_to_file(tensors, metadata, temporary)?;
        sign(temporary)
    })
}

fn tensors(saved: &Saved) -> Result<Tensors<'_>, String> {
    let state = &saved.state;
    let mut tensors = Tensors::new();
    add_parameters(&mut tensors, PARAMETERS, &state.parameters)?;
    for (name, memory) in &state.memory {
        add(&mut tensors, FIRST, name, &memory.first)?;
        if let Some(second) = &memory.second {
            add(&mut tensors, SECOND, name, second)?;
        }
    }
    for (name, value) in &state.buffers {
        add(&mut tensors, BUFFERS, name, value)?;
    }
    if let Some(selected) = &state.selected {
        add_parameters(&mut tensors, SELECTED, &selected.parameters)?;
        for (name, value) in &selected.buffers {
            add(&mut tensors, SELECTED_BUFFERS, name, value)?;
        }
    }
    if let Some(aggregate) = &state.aggregate {
        tensors.insert(AGGREGATE.into(), StoredTensor::f64(&aggregate.sum));
    }
    Ok(tensors)
}

fn add_parameters<'a>(
    tensors: &mut Tensors<'a>,
    prefix: &str,
    parameters: &'a Parameters,
) -> Result<(), String> {
    for (name, leaf) in parameters.iter() {
        tensors.insert(format!("{prefix}{name}"), StoredTensor::f32(&leaf.value, &leaf.shape)?);
    }
    Ok(())
}

fn add<'a>(tensors: &mut Tensors<'a>, prefix: &str, name: &str, value: &'a Tensor<1>) -> Result<(), String> {
    tensors.insert(format!("{prefix}{name}"), StoredTensor::f32(value, &value.dims())?);
    Ok(())
}

fn card(Saved { state, metrics_bytes, seconds }: &Saved, identity: &str) -> Card {
    Card {
        version: VERSION,
        sha256: NO_DIGEST.into(),
        identity: identity.into(),
        done: state.done,
        updates: state.memory.iter().map(|(name, memory)| (name.clone(), memory.steps)).collect(),
        aggregated: state.aggregate.as_ref().map(|aggregate| aggregate.added),
        selected: state.selected.as_ref().map(|selected| (selected.accuracy, selected.done)),
        metrics_bytes: *metrics_bytes,
        seconds: *seconds,
    }
}

/// Puts the digest of a file into its place there.
fn sign(path: &Path) -> Result<(), Fault> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let header = header(&mut file)?;
    let place = place(&header, NO_DIGEST).ok_or_else(|| Fault::Encode("the digest has no place".into()))?;
    let digest = digest(&header, &mut file)?;
    file.seek(SeekFrom::Start(place.start as u64))?;
    Ok(file.write_all(digest.as_bytes())?)
}
