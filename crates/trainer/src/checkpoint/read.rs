//! Reading a checkpoint, one tensor after the other. Whether a file is whole is known before the first of them is read.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Metadata, TensorInfo};

use super::Saved;
use super::card::{
    AGGREGATE, BUFFERS, Card, ENTRY, FIRST, LENGTH, NO_DIGEST, PARAMETERS, SECOND, SELECTED,
    SELECTED_BUFFERS, VERSION, digest, header, place,
};
use crate::optim::Memory;
use crate::parameters::Parameters;
use crate::selection::Selected;
use crate::training_state::{AggregateState, TrainingState};

/// Why a file is no checkpoint of the run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damage(pub String);

impl From<io::Error> for Damage {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

fn damage(what: impl Display) -> Damage {
    Damage(what.to_string())
}

/// A file that holds a whole checkpoint of the run.
#[derive(Debug)]
pub(super) struct Whole {
    file: File,
    card: Card,
    tensors: Metadata,
    /// Where the values begin.
    values: u64,
}

impl Whole {
    /// Opens the file at `path`, verifies it, and reads everything but the tensors. `None` if there is no file.
    pub(super) fn open(path: &Path, identity: &str) -> Result<Option<Self>, Damage> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let header = header(&mut file)?;
        let values = header.len() as u64;
        let tensors: Metadata = serde_json::from_slice(&header[LENGTH..]).map_err(damage)?;
        if Some(file.metadata()?.len()) != values.checked_add(tensors.data_len() as u64) {
            return Err(damage("the file is not as long as its header says"));
        }
        let card = tensors.metadata().as_ref().and_then(|entries| entries.get(ENTRY));
        let card = card.ok_or_else(|| damage("no checkpoint of Regulus"))?;
        let card: Card = serde_json::from_str(card).map_err(damage)?;
        check_digest(header, &mut file, &card.sha256)?;
        if card.version != VERSION || card.identity != identity {
            return Err(damage("it belongs to another experiment or version"));
        }
        Ok(Some(Self { file, card, tensors, values }))
    }

    /// Steps that were done.
    pub(super) fn done(&self) -> usize {
        self.card.done
    }

    /// Length that `metrics.jsonl` had.
    pub(super) fn metrics_bytes(&self) -> u64 {
        self.card.metrics_bytes
    }

    /// Reads the tensors.
    pub(super) fn saved(&mut self, device: &Device) -> Result<Saved, Damage> {
        let (mut parameters, mut memory, mut buffers) =
            (Parameters::default(), BTreeMap::new(), BTreeMap::new());
        let (mut selected, mut selected_buffers, mut sum) = (Parameters::default(), BTreeMap::new(), None);
        for name in self.tensors.offset_keys() {
            let Some(info) = self.tensors.info(&name).cloned() else { continue };
            if name == AGGREGATE {
                sum = Some(self.numbers(&info, f64::from_le_bytes)?);
            } else if let Some(name) = name.strip_prefix(PARAMETERS) {
                parameters.insert(name, self.tensor(&info, device)?, info.shape);
            } else if let Some(name) = name.strip_prefix(FIRST) {
                memory.insert(name.to_owned(), self.memory(name, &info, device)?);
            } else if let Some(name) = name.strip_prefix(BUFFERS) {
                buffers.insert(name.to_owned(), self.tensor(&info, device)?);
            } else if let Some(name) = name.strip_prefix(SELECTED) {
                selected.insert(name, self.tensor(&info, device)?, info.shape);
            } else if let Some(name) = name.strip_prefix(SELECTED_BUFFERS) {
                selected_buffers.insert(name.to_owned(), self.tensor(&info, device)?);
            }
        }
        let Card { done, metrics_bytes, seconds, aggregated, selected: chosen, .. } = self.card;
        let aggregate = match (aggregated, sum) {
            (Some(added), Some(sum)) => Some(AggregateState { added, sum }),
            (None, None) => None,
            _ => return Err(damage("the aggregate is not whole")),
        };
        let selected = chosen.map(|(accuracy, done)| Selected {
            accuracy,
            done,
            parameters: selected,
            buffers: selected_buffers,
        });
        let state = TrainingState { done, parameters, memory, aggregate, buffers, selected };
        Ok(Saved { state, metrics_bytes, seconds })
    }

    /// What the optimiser remembers of the parameter `name`, whose first values are at `first`.
    fn memory(&mut self, name: &str, first: &TensorInfo, device: &Device) -> Result<Memory, Damage> {
        let steps = self.card.updates.get(name).copied();
        let steps = steps.ok_or_else(|| Damage(format!("the updates of `{name}` are missing")))?;
        let second = self.tensors.info(&format!("{SECOND}{name}")).cloned();
        let second = second.map(|info| self.tensor(&info, device)).transpose()?;
        Ok(Memory { steps, first: self.tensor(first, device)?, second })
    }

    fn tensor(&mut self, info: &TensorInfo, device: &Device) -> Result<Tensor<1>, Damage> {
        let values = self.numbers(info, f32::from_le_bytes)?;
        let count = values.len();
        Ok(Tensor::from_data(TensorData::new(values, [count]), device))
    }

    fn numbers<T, const N: usize>(
        &mut self,
        info: &TensorInfo,
        number: fn([u8; N]) -> T,
    ) -> Result<Vec<T>, Damage> {
        if info.dtype.bitsize() != 8 * N {
            return Err(Damage(format!("numbers of type {:?}", info.dtype)));
        }
        let (begin, end) = info.data_offsets;
        // The length of the file has been compared with what its header promises.
        let mut bytes = vec![0; end - begin];
        self.file.seek(SeekFrom::Start(self.values + begin as u64))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect())
    }
}

/// Compares the digest of the header and the rest of `file` with `expected`, which stands in the header.
fn check_digest(mut header: Vec<u8>, file: &mut File, expected: &str) -> Result<(), Damage> {
    let wrong = || damage("its digest is wrong");
    let place = place(&header, expected).ok_or_else(wrong)?;
    header[place].copy_from_slice(NO_DIGEST.as_bytes());
    if digest(&header, file)? == expected { Ok(()) } else { Err(wrong()) }
}
