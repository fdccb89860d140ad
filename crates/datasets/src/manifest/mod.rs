//! Manifests: one text file that lists images of a data set of one's own, as CSV or as JSON lines.
//!
//! Each row has a `path`, relative to the folder of the manifest, and a `label`; it may have a `split` and a `domain`.
//! Labels and domains are names. If every label is a whole number, the classes are in the order of the numbers,
//! otherwise in that of the names. Rows without a split train. Other columns are allowed and not used.
//!
//! A manifest is read as a stream: only the table of its images stays in memory.

mod csv;
mod json_lines;
mod rows;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::listing::{DatasetListing, ListingError, name_of};
use rows::Rows;

/// Longest row, in bytes; a longer one is a sign that the file is no manifest.
const MAX_ROW_BYTES: usize = 1 << 16;

/// How the rows of a manifest are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestFormat {
    /// Comma-separated with a header, quoted as in RFC 4180. Paths may hold any bytes.
    Csv,
    /// One JSON object per line. Labels may be numbers.
    JsonLines,
}

impl ManifestFormat {
    /// The format of files with this name: `.csv`, or `.jsonl` and `.ndjson`.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// Lists the images of a manifest, whose name tells its format.
///
/// # Errors
/// A [`ListingError`] with the file and the line for everything that cannot be understood, and for paths that lead out
/// of the folder of the manifest. Whether the images are there is not looked at: see
/// [`DatasetListing::require_files`].
pub fn read(path: &Path) -> Result<DatasetListing, ListingError> {
    let format = ManifestFormat::of(path).ok_or_else(|| ListingError::Malformed {
        entry: path.display().to_string(),
        reason: "a manifest is called *.csv, *.jsonl or *.ndjson".to_owned(),
    })?;
    let file = File::open(path).map_err(ListingError::unreadable(path))?;
    read_from(file, format, path)
}

/// [`read`] from an open file or a buffer; `path` is where the manifest stands, for messages and relative paths.
///
/// # Errors
/// As [`read`].
pub fn read_from(
    source: impl Read,
    format: ManifestFormat,
    path: &Path,
) -> Result<DatasetListing, ListingError> {
    let mut rows = Rows::new(path);
    match format {
        ManifestFormat::Csv => csv::read(source, &mut rows)?,
        ManifestFormat::JsonLines => json_lines::read(source, &mut rows)?,
    }
    let root = path.parent().unwrap_or(Path::new("")).to_owned();
    rows.finish(name_of(path), root)
}

#[cfg(test)]
mod tests;
