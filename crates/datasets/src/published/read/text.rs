//! Small text files, read whole but not without bound.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::listing::ListingError;

/// The bytes of a file of at most `most` bytes.
pub(in crate::published) fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, ListingError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(ListingError::unreadable(path))?;
    if bytes.len() as u64 > most {
        let entry = path.display().to_string();
        return Err(ListingError::Malformed {
            entry,
            reason: format!("the file is longer than {most} bytes"),
        });
    }
    Ok(bytes)
}

/// The lines of a text file that are not blank, trimmed, with their numbers from 1.
pub(super) fn read_lines(path: &Path) -> Result<Vec<(usize, String)>, ListingError> {
    let bytes = read_bytes(path, 64 << 20)?;
    let mut lines = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line =
            std::str::from_utf8(line).map_err(|_| malformed(path, index + 1, "the line is not UTF-8"))?;
        let line = line.trim_start_matches('\u{feff}').trim();
        if !line.is_empty() {
            lines.push((index + 1, line.to_owned()));
        }
    }
    Ok(lines)
}

/// What is wrong with a line of a file.
pub(super) fn malformed(path: &Path, line: usize, reason: impl Into<String>) -> ListingError {
    ListingError::Malformed { entry: format!("{}, line {line}", path.display()), reason: reason.into() }
}
