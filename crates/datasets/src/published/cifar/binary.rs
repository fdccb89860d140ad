//! The binary archives: records of one label byte (CIFAR-10) or a coarse and a fine one (CIFAR-100), then the pixels.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::{PIXELS, Records};
use crate::listing::ListingError;

pub(super) fn read_ten(path: &Path) -> Result<Records, ListingError> {
    read(path, 1)
}

pub(super) fn read_hundred(path: &Path) -> Result<Records, ListingError> {
    read(path, 2)
}

/// The records of a file; the last of the `head` bytes before the pixels is the label.
fn read(path: &Path, head: usize) -> Result<Records, ListingError> {
    let file = File::open(path).map_err(ListingError::unreadable(path))?;
    let length = file.metadata().map_err(ListingError::unreadable(path))?.len();
    let size = head + PIXELS;
    if length == 0 || length % size as u64 != 0 {
        let reason =
            format!("{length} bytes are no whole number of images of {size} bytes; download it again");
        return Err(ListingError::Malformed { entry: path.display().to_string(), reason });
    }
    let mut source = BufReader::with_capacity(1 << 20, file);
    let mut record = vec![0; size];
    let mut records = Vec::new();
    for number in 0..length / size as u64 {
        source.read_exact(&mut record).map_err(ListingError::unreadable(path))?;
        let label = record.get(head - 1).copied().unwrap_or_default();
        records.push((usize::from(label), number * size as u64 + head as u64));
    }
    Ok(records)
}
