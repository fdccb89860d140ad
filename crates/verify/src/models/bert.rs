//! BERT text encoders: hidden states and the three poolings, compared where the attention mask is 1.

use super::with_each_file;
use crate::checks::{Checks, host};
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::{Device, Tensor};
use regulus_checkpoints::Checkpoint;
use regulus_clip::{Bert, BertBatch, BertConfig, BertPooling, normalise};
use std::path::Path;

const TOLERANCE: f64 = 1e-4;

/// Compares every weights file of the folder with the recorded values.
pub(crate) fn run(
    folder: &Path,
    io: &Recorded,
    device: &Device,
    rows: &mut Vec<Row>,
) -> Result<(), CaseError> {
    let config = BertConfig::load(folder)?;
    let ids = io.rows("input_ids")?;
    let all = |value: u32| ids.iter().map(|row| vec![value; row.len()]).collect::<Vec<_>>();
    let of = |name: &str, default: u32| if io.has(name) { io.rows(name) } else { Ok(all(default)) };
    let (mask, types) = (of("attention_mask", 1)?, of("token_type_ids", 0)?);
    let batch = BertBatch::masked(&ids, &mask, &types, &config)
        .map_err(|error| CaseError::Unsupported(error.to_string()))?;
    let load = |file: &Path| Ok(Bert::from_checkpoint(&config, &Checkpoint::open(file)?, device)?);
    with_each_file(folder, io, rows, load, |checks, _, bert| compare(checks, &bert, &batch, &mask))
}

fn compare(
    checks: &mut Checks<'_>,
    bert: &Bert,
    batch: &BertBatch,
    mask: &[Vec<u32>],
) -> Result<(), CaseError> {
    let states = bert.hidden_states(batch);
    masked(checks, "embeddings", &states.embeddings, mask)?;
    for (index, block) in states.blocks.iter().enumerate() {
        masked(checks, &format!("hidden_{index}"), block, mask)?;
    }
    if let Some(last) = states.blocks.last() {
        masked(checks, "last_hidden_state", last, mask)?;
    }
    let pooled =
        |pooling| bert.encode(batch, pooling).map_err(|error| CaseError::Unsupported(error.to_string()));
    checks.tensor("cls", &pooled(BertPooling::Cls)?, TOLERANCE)?;
    if checks.recorded.has("pooler_output") {
        checks.tensor("pooler_output", &pooled(BertPooling::Pooler)?, TOLERANCE)?;
    }
    let mean = pooled(BertPooling::Mean)?;
    checks.tensor("mean_pooled", &mean, TOLERANCE)?;
    checks.tensor("mean_pooled_norm", &normalise(mean), TOLERANCE)
}

/// Compares the vectors of the tokens that count.
fn masked(
    checks: &mut Checks<'_>,
    name: &str,
    found: &Tensor<3>,
    mask: &[Vec<u32>],
) -> Result<(), CaseError> {
    if !checks.recorded.has(name) {
        return Ok(());
    }
    let (expected, shape) = checks.recorded.values(name)?;
    let dims = found.dims();
    if shape != dims {
        checks.problem(name, format!("the shape is {dims:?}, recorded is {shape:?}"));
        return Ok(());
    }
    let [_, _, width] = dims;
    let counting = |values: &[f64]| -> Vec<f64> {
        let tokens = values.chunks(width.max(1)).zip(mask.iter().flatten());
        tokens.filter(|(_, counts)| **counts == 1).flat_map(|(token, _)| token.iter().copied()).collect()
    };
    let (found, expected) = (counting(&host(found).map_err(CaseError::Unsupported)?), counting(&expected));
    let unit = crate::checks::largest(&expected).max(1.0);
    checks.values(name, &found, &expected, TOLERANCE * unit);
    Ok(())
}
