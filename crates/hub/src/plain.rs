//! A file from a plain address of its publisher. No token goes there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::address::Address;
use crate::cache::size;
use crate::catalogue::Published;
use crate::client::Client;
use crate::digest::{Digests, Expected};
use crate::download::{Download, remove};
use crate::error::{AtPath, FetchError};
use crate::fetch::Fetched;
use crate::lock;
use crate::record::{self, FileRecord};
use crate::settings::Settings;
use crate::watch::{Event, Watch};

/// A file to fetch.
pub(crate) struct PlainFile<'a> {
    pub(crate) settings: &'a Settings,
    /// The name of the model, and of its folder.
    pub(crate) model: &'a str,
    pub(crate) file: &'a str,
    pub(crate) url: &'a str,
    pub(crate) published: Published,
}

impl PlainFile<'_> {
    fn path(&self) -> PathBuf {
        record::ours(self.settings).join(self.model).join(self.file)
    }

    fn record_path(&self) -> PathBuf {
        self.path().with_added_extension("json")
    }

    /// The file, downloaded if it is not in the cache.
    pub(crate) fn fetch(&self, watch: &mut Watch<'_>) -> Result<Fetched, FetchError> {
        let path = self.path();
        if self.cached().is_some() {
            return Ok(Fetched::cached(path));
        }
        let here = size(&path).is_some();
        if self.settings.offline && !here {
            let missing = format!("{} is not there", path.display());
            return Err(FetchError::Offline { what: self.model.to_owned(), missing });
        }
        let _lock = lock::take(&path.with_added_extension("lock"), self.file, watch)?;
        if self.cached().is_some() {
            return Ok(Fetched::cached(path));
        }
        let url = Address::parse(self.url).map_err(|reason| FetchError::Setting {
            variable: self.model.to_owned(),
            reason: reason.into(),
        })?;
        if here {
            self.accept(&path, &url, watch)?;
            return Ok(Fetched::cached(path));
        }
        let client = Client::of_others(self.settings);
        let partial = path.with_added_extension("incomplete");
        let download = Download { client: &client, url, of_hub: false, name: self.file, partial, size: None };
        let (bytes, downloaded) = download.verified(watch, |watch| {
            download.forget_etag()?;
            self.accept(&download.partial, &download.url, watch)
        })?;
        fs::rename(&download.partial, &path).at(&path)?;
        (watch.tell)(Event::Finished { file: self.file, bytes });
        Ok(Fetched { path, downloaded })
    }

    /// The file, if it is in the cache as it was when it had been verified.
    pub(crate) fn cached(&self) -> Option<PathBuf> {
        let record: FileRecord = record::read(&self.record_path())?;
        let of_this = record.url == self.url && size(&self.path()) == Some(record.size);
        let as_published = match self.published {
            Published::Sha256(sha256) => record.sha256 == sha256,
            Published::Md5Prefix(_) | Published::Nothing => true,
        };
        (of_this && as_published).then(|| self.path())
    }

    /// Verifies the file at `path` and records what it is; one that is wrong is removed. Its size in bytes.
    fn accept(&self, path: &Path, url: &Address, watch: &mut Watch<'_>) -> Result<u64, FetchError> {
        let earlier: Option<FileRecord> =
            record::read(&self.record_path()).filter(|earlier: &FileRecord| earlier.url == self.url);
        let published = match self.published {
            Published::Sha256(sha256) => Some(Expected::Sha256(sha256.to_owned())),
            Published::Md5Prefix(md5) => Some(Expected::Md5Prefix(md5.to_owned())),
            Published::Nothing => None,
        };
        let digests = Digests::of(path, published.as_ref(), watch)?;
        let first = earlier.is_none();
        let recorded = earlier.map(|earlier| Expected::Sha256(earlier.sha256));
        for expected in published.iter().chain(&recorded) {
            if let Some(found) = digests.other_than(expected) {
                remove(path)?;
                return Err(FetchError::WrongHash {
                    file: self.file.to_owned(),
                    url: url.clone(),
                    kind: expected.kind(),
                    expected: expected.text().to_owned(),
                    found,
                });
            }
        }
        let size = size(path).unwrap_or(0);
        let record = FileRecord { url: self.url.to_owned(), size, sha256: digests.sha256 };
        record::write(&self.record_path(), &record)?;
        if first && !matches!(self.published, Published::Sha256(_)) {
            watch.notice(&format!(
                "no SHA-256 of {} is published; that of this download is {} and is recorded beside it: later downloads \
                 are compared with it",
                self.file, record.sha256
            ));
        }
        Ok(size)
    }
}
