//! The Python archives: a pickled dict with a list of labels and a NumPy array `[images, 3072]` of bytes.

use std::path::Path;

use super::pickle::{Pickle, Value};
use super::{PIXELS, Records};
use crate::listing::ListingError;
use crate::published::read::read_bytes;

/// Longest archive, in bytes. The training images of CIFAR-100 take 156 million.
const MAX_BYTES: u64 = 1 << 29;

/// The records of an archive whose labels are under `labels`.
pub(super) fn read(path: &Path, labels: &[u8]) -> Result<Records, ListingError> {
    let bytes = read_bytes(path, MAX_BYTES)?;
    records(&bytes, labels).map_err(|reason| {
        let reason = format!("{reason}; expected an archive as published for Python");
        ListingError::Malformed { entry: path.display().to_string(), reason }
    })
}

fn records(bytes: &[u8], key: &[u8]) -> Result<Records, String> {
    let pickle = Pickle::load(bytes)?;
    let name = String::from_utf8_lossy(key);
    let labels = pickle.get(key).and_then(|list| pickle.sequence(list));
    let labels = labels.ok_or_else(|| format!("no list `{name}`"))?;
    let start = pixels(&pickle, labels.len()).ok_or_else(|| {
        format!("`data` is no array of {} images of {PIXELS} bytes, one for each label", labels.len())
    })?;
    let label = |(number, value): (usize, &Value)| match *value {
        Value::Int(label) => {
            usize::try_from(label).map_err(|_| format!("label {number} of `{name}` is {label}"))
        }
        _ => Err(format!("label {number} of `{name}` is no number")),
    };
    let labels = labels.iter().enumerate().map(label).collect::<Result<Vec<_>, _>>()?;
    Ok(labels
        .into_iter()
        .enumerate()
        .map(|(number, label)| (label, (start + number * PIXELS) as u64))
        .collect())
}

/// Where the pixels of `images` images start. The array is `_reconstruct(...)` with the state `(version, shape, type,
/// order, bytes)`.
fn pixels(pickle: &Pickle<'_>, images: usize) -> Option<usize> {
    let (_, state) = pickle.call(pickle.get(b"data")?)?;
    let [_, shape, kind, _, content] = pickle.sequence(state)? else { return None };
    let expected = [Value::Int(i64::try_from(images).ok()?), Value::Int(PIXELS as i64)];
    let (arguments, _) = pickle.call(*kind)?;
    let (_, kind) = pickle.text(*pickle.sequence(arguments)?.first()?)?;
    let (place, _) = pickle.text(*content)?;
    let fits = pickle.sequence(*shape)? == expected && kind == b"u1" && place.len() == images * PIXELS;
    fits.then_some(place.start)
}
