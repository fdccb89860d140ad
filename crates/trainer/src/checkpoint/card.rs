//! The file of a checkpoint: safetensors, with everything that is no tensor in one JSON object of the metadata.
//!
//! The digest in that object is over the whole file with zeros in the digest's own place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Raised when the file changes its form.
pub(super) const VERSION: u32 = 1;
/// Bytes of a header's length.
pub(super) const LENGTH: usize = 8;
/// The longest header that readers of safetensors accept.
const LONGEST: u64 = 100_000_000;
/// The entry of the metadata.
pub(super) const ENTRY: &str = "regulus";
/// Where a digest will stand.
pub(super) const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
pub(super) const PARAMETERS: &str = "parameters/";
pub(super) const FIRST: &str = "first/";
pub(super) const SECOND: &str = "second/";
pub(super) const BUFFERS: &str = "buffers/";
pub(super) const AGGREGATE: &str = "aggregate";
pub(super) const SELECTED: &str = "selected/";
pub(super) const SELECTED_BUFFERS: &str = "selected-buffers/";

/// What is no tensor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Card {
    pub(super) version: u32,
    pub(super) sha256: String,
    pub(super) identity: String,
    pub(super) done: usize,
    /// Updates of each parameter that the optimiser remembers.
    pub(super) updates: BTreeMap<String, u32>,
    /// Epochs in the aggregate.
    pub(super) aggregated: Option<usize>,
    /// Accuracy and steps of the best epoch.
    #[serde(default)]
    pub(super) selected: Option<(f64, usize)>,
    pub(super) metrics_bytes: u64,
    pub(super) seconds: f64,
}

/// Bytes that are digested at a time.
const STEP: u64 = 1 << 20;

/// The header of a safetensors file with the length before it; `file` is behind it then.
pub(super) fn header(file: &mut File) -> io::Result<Vec<u8>> {
    let mut header = vec![0; LENGTH];
    file.read_exact(&mut header)?;
    let length = header.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte));
    if length > LONGEST {
        let reason = format!("its header is said to have {length} bytes, expected {LONGEST} at most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    file.take(length).read_to_end(&mut header)?;
    Ok(header)
}

/// The digest of a file with this header, in which zeros stand for the digest, and the rest of `file`.
pub(super) fn digest(header: &[u8], file: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut part = header.to_vec();
    while !part.is_empty() {
        hash.update(&part);
        part.clear();
        file.take(STEP).read_to_end(&mut part)?;
    }
    Ok(hex(hash))
}

/// A digest as cards hold it.
pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the digest stands in a header.
pub(super) fn place(header: &[u8], digest: &str) -> Option<Range<usize>> {
    let starts = header.windows(NO_DIGEST.len()).position(|window| window == digest.as_bytes())?;
    Some(starts..starts + NO_DIGEST.len())
}
