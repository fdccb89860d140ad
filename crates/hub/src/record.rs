//! What this crate notes of complete downloads, outside of the hub client's own folders: in its assets cache.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::write_whole;
use crate::error::FetchError;
use crate::listing::Remote;
use crate::repository::Repository;
use crate::settings::Settings;

/// The folder of everything that is ours.
pub(crate) fn ours(settings: &Settings) -> PathBuf {
    settings.assets.join("regulus")
}

/// The files of a snapshot that has been fetched as a whole.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SnapshotRecord {
    pub(crate) files: BTreeMap<String, RecordedFile>,
}

/// A file of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecordedFile {
    pub(crate) size: u64,
    pub(crate) blob: String,
}

impl SnapshotRecord {
    pub(crate) fn path(settings: &Settings, repository: &Repository, commit: &str) -> PathBuf {
        ours(settings).join("snapshots").join(repository.folder()).join(format!("{commit}.json"))
    }

    pub(crate) fn add(&mut self, name: &str, remote: &Remote) {
        let file = RecordedFile { size: remote.size, blob: remote.blob().to_owned() };
        self.files.insert(name.to_owned(), file);
    }
}

/// A file from a plain address.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    pub(crate) url: String,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

/// Reads a record; `None` if there is none that can be read.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Writes a record.
pub(crate) fn write(path: &Path, record: &impl Serialize) -> Result<(), FetchError> {
    let mut text = serde_json::to_vec_pretty(record)
        .map_err(|error| FetchError::Disk { path: path.to_owned(), source: error.into() })?;
    text.push(b'\n');
    write_whole(path, &text)
}
