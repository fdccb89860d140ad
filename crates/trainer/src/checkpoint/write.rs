//! Writing a checkpoint, one tensor after the other: its file is larger than the model, and never in memory.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use burn::tensor::Tensor;
use sha2::{Digest, Sha256};

use super::Saved;
use super::card::{
    AGGREGATE, BUFFERS, Card, ENTRY, FIRST, NO_DIGEST, PARAMETERS, SECOND, SELECTED, SELECTED_BUFFERS,
    VERSION, hex, place,
};
use crate::files;
use crate::parameters::Parameters;
use crate::stored_values::{StoredFile, StoredTensor, WriteFault};
use crate::training_state::TrainingState;

type Tensors<'a> = BTreeMap<String, StoredTensor<'a>>;

/// Writes the checkpoint of the run `identity`, as a whole or not at all.
pub(super) fn write(saved: &Saved, identity: &str, path: &Path) -> Result<(), WriteFault> {
    let encode = |reason: String| WriteFault::Encode(reason);
    let card = serde_json::to_string(&card(saved, identity)).map_err(|error| encode(error.to_string()))?;
    let stored = StoredFile::new(tensors(&saved.state), HashMap::from([(ENTRY.to_owned(), card)]))?;
    let place = place(stored.header(), NO_DIGEST).ok_or_else(|| encode("the digest has no place".into()))?;
    files::replace_by(path, |file| {
        let mut digested = Digested { file, hash: Sha256::new() };
        stored.write(&mut digested)?;
        let digest = hex(digested.hash);
        file.seek(SeekFrom::Start(place.start as u64))?;
        Ok(file.write_all(digest.as_bytes())?)
    })
}

/// A file, and the digest of what was to be written into it: what a disk makes of it is found by reading it.
struct Digested<'a> {
    file: &'a mut File,
    hash: Sha256,
}

impl Write for Digested<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn tensors(state: &TrainingState) -> Tensors<'_> {
    let mut tensors = Tensors::new();
    add_parameters(&mut tensors, PARAMETERS, &state.parameters);
    for (name, memory) in &state.memory {
        add(&mut tensors, FIRST, name, &memory.first);
        if let Some(second) = &memory.second {
            add(&mut tensors, SECOND, name, second);
        }
    }
    for (name, value) in &state.buffers {
        add(&mut tensors, BUFFERS, name, value);
    }
    if let Some(selected) = &state.selected {
        add_parameters(&mut tensors, SELECTED, &selected.parameters);
        for (name, value) in &selected.buffers {
            add(&mut tensors, SELECTED_BUFFERS, name, value);
        }
    }
    if let Some(aggregate) = &state.aggregate {
        tensors.insert(AGGREGATE.into(), StoredTensor::f64(&aggregate.sum));
    }
    tensors
}

fn add_parameters<'a>(tensors: &mut Tensors<'a>, prefix: &str, parameters: &'a Parameters) {
    for (name, leaf) in parameters.iter() {
        tensors.insert(format!("{prefix}{name}"), StoredTensor::f32(&leaf.value, &leaf.shape));
    }
}

fn add<'a>(tensors: &mut Tensors<'a>, prefix: &str, name: &str, value: &'a Tensor<1>) {
    tensors.insert(format!("{prefix}{name}"), StoredTensor::f32(value, &value.dims()));
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
