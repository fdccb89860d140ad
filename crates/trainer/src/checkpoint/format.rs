//! The file of a checkpoint: safetensors, with everything that is no tensor in one JSON object of the metadata.
//!
//! The digest in that object is over the whole file with zeros in the digest's own place.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::{Bytes, Device, Tensor, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Saved;
use crate::optim::Memory;
use crate::parameters::Parameters;
use crate::selection::Selected;
use crate::stored_values::little_endian;
use crate::training_state::{AggregateState, TrainingState};

/// Why a file is no checkpoint of the run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damage(pub String);

/// Raised when the file changes its form.
const VERSION: u32 = 1;
/// Where a digest will stand.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const PARAMETERS: &str = "parameters/";
const FIRST: &str = "first/";
const SECOND: &str = "second/";
const BUFFERS: &str = "buffers/";
const AGGREGATE: &str = "aggregate";
const SELECTED: &str = "selected/";
const SELECTED_BUFFERS: &str = "selected-buffers/";

/// What is no tensor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    version: u32,
    sha256: String,
    identity: String,
    done: usize,
    /// Updates of each parameter that the optimiser remembers.
    updates: BTreeMap<String, u32>,
    /// Epochs in the aggregate.
    aggregated: Option<usize>,
    /// Accuracy and steps of the best epoch.
    #[serde(default)]
    selected: Option<(f64, usize)>,
    metrics_bytes: u64,
    seconds: f64,
}

/// The bytes of a checkpoint.
pub(super) fn encode(saved: &Saved, identity: &str) -> Result<Vec<u8>, String> {
    let Saved { state, metrics_bytes, seconds } = saved;
    let mut tensors: BTreeMap<String, (Dtype, Vec<usize>, Bytes)> = BTreeMap::new();
    let mut add = |name: String, value: &Tensor<1>, shape: Vec<usize>| {
        tensors.insert(name, (Dtype::F32, shape, little_endian(value)));
    };
    for (name, leaf) in state.parameters.iter() {
        add(format!("{PARAMETERS}{name}"), &leaf.value, leaf.shape.clone());
    }
    for (name, memory) in &state.memory {
        add(format!("{FIRST}{name}"), &memory.first, memory.first.dims().to_vec());
        if let Some(second) = &memory.second {
            add(format!("{SECOND}{name}"), second, second.dims().to_vec());
        }
    }
    for (name, value) in &state.buffers {
        add(format!("{BUFFERS}{name}"), value, value.dims().to_vec());
    }
    if let Some(selected) = &state.selected {
        for (name, leaf) in selected.parameters.iter() {
            add(format!("{SELECTED}{name}"), &leaf.value, leaf.shape.clone());
        }
        for (name, value) in &selected.buffers {
            add(format!("{SELECTED_BUFFERS}{name}"), value, value.dims().to_vec());
        }
    }
    if let Some(aggregate) = &state.aggregate {
        let bytes = aggregate.sum.iter().flat_map(|value| value.to_le_bytes()).collect();
        let bytes = Bytes::from_bytes_vec(bytes);
        tensors.insert(AGGREGATE.into(), (Dtype::F64, vec![aggregate.sum.len()], bytes));
    }
    let card = Card {
        version: VERSION,
        sha256: NO_DIGEST.into(),
        identity: identity.into(),
        done: state.done,
        updates: state.memory.iter().map(|(name, memory)| (name.clone(), memory.steps)).collect(),
        aggregated: state.aggregate.as_ref().map(|aggregate| aggregate.added),
        selected: state.selected.as_ref().map(|selected| (selected.accuracy, selected.done)),
        metrics_bytes: *metrics_bytes,
        seconds: *seconds,
    };
    let card = serde_json::to_string(&card).map_err(|error| error.to_string())?;
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| {
            TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name, view))
        })
        .collect();
    let views = views.map_err(|error| error.to_string())?;
    let metadata = Some(HashMap::from([("regulus".to_owned(), card)]));
    let mut bytes = safetensors::serialize(views, metadata).map_err(|error| error.to_string())?;
    let digest = hex(&Sha256::digest(&bytes));
    let place = find(&bytes, NO_DIGEST).ok_or("the digest has no place")?;
    bytes[place..place + digest.len()].copy_from_slice(digest.as_bytes());
    Ok(bytes)
}

/// The checkpoint of the run `identity` in `bytes`.
pub(super) fn decode(bytes: &[u8], identity: &str, device: &Device) -> Result<Saved, Damage> {
    let damaged = |what: &dyn std::fmt::Display| Damage(what.to_string());
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(&error))?;
    let card = metadata.metadata().as_ref().and_then(|entries| entries.get("regulus"));
    let card = card.ok_or_else(|| damaged(&"no checkpoint of Regulus"))?;
    let card: Card = serde_json::from_str(card).map_err(|error| damaged(&error))?;
    check_digest(bytes, &card.sha256)?;
    if card.version != VERSION || card.identity != identity {
        return Err(damaged(&"it belongs to another experiment or version"));
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(&error))?;
    let mut parameters = Parameters::default();
    let (mut memory, mut buffers, mut sum) = (BTreeMap::new(), BTreeMap::new(), None);
    let (mut selected, mut selected_buffers) = (Parameters::default(), BTreeMap::new());
    for (name, view) in tensors.iter() {
        if let Some(name) = name.strip_prefix(PARAMETERS) {
            parameters.insert(name, tensor(&view, device)?, view.shape().to_vec());
        } else if let Some(name) = name.strip_prefix(FIRST) {
            let steps = card.updates.get(name).copied();
            let steps = steps.ok_or_else(|| Damage(format!("the updates of `{name}` are missing")))?;
            let second = tensors.tensor(&format!("{SECOND}{name}")).ok();
            let second = second.map(|view| tensor(&view, device)).transpose()?;
            memory.insert(name.to_owned(), Memory { steps, first: tensor(&view, device)?, second });
        } else if let Some(name) = name.strip_prefix(BUFFERS) {
            buffers.insert(name.to_owned(), tensor(&view, device)?);
        } else if let Some(name) = name.strip_prefix(SELECTED) {
            selected.insert(name, tensor(&view, device)?, view.shape().to_vec());
        } else if let Some(name) = name.strip_prefix(SELECTED_BUFFERS) {
            selected_buffers.insert(name.to_owned(), tensor(&view, device)?);
        } else if name == AGGREGATE {
            sum = Some(numbers(&view, f64::from_le_bytes)?);
        }
    }
    let aggregate = match (card.aggregated, sum) {
        (Some(added), Some(sum)) => Some(AggregateState { added, sum }),
        (None, None) => None,
        _ => return Err(damaged(&"the aggregate is not whole")),
    };
    let selected = card.selected.map(|(accuracy, done)| Selected {
        accuracy,
        done,
        parameters: selected,
        buffers: selected_buffers,
    });
    let state = TrainingState { done: card.done, parameters, memory, aggregate, buffers, selected };
    Ok(Saved { state, metrics_bytes: card.metrics_bytes, seconds: card.seconds })
}

fn check_digest(bytes: &[u8], digest: &str) -> Result<(), Damage> {
    let wrong = || Damage("its digest is wrong".into());
    let place = find(bytes, digest).filter(|_| digest.len() == NO_DIGEST.len()).ok_or_else(wrong)?;
    let mut hash = Sha256::new();
    hash.update(&bytes[..place]);
    hash.update(NO_DIGEST);
    hash.update(&bytes[place + digest.len()..]);
    if hex(&hash.finalize()) == digest { Ok(()) } else { Err(wrong()) }
}

fn find(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len().max(1)).position(|window| window == text.as_bytes())
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tensor(view: &TensorView<'_>, device: &Device) -> Result<Tensor<1>, Damage> {
    let values = numbers(view, f32::from_le_bytes)?;
    let count = values.len();
    Ok(Tensor::from_data(TensorData::new(values, [count]), device))
}

fn numbers<T, const N: usize>(view: &TensorView<'_>, number: fn([u8; N]) -> T) -> Result<Vec<T>, Damage> {
    let (numbers, rest) = view.data().as_chunks::<N>();
    if rest.is_empty() && view.dtype().bitsize() == 8 * N {
        Ok(numbers.iter().map(|bytes| number(*bytes)).collect())
    } else {
        Err(Damage(format!("numbers of type {:?}", view.dtype())))
    }
}
