//! A repository of the hub, from the cache or through the network.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cache::{RepositoryFolder, size};
use crate::client::Client;
use crate::digest::Digests;
use crate::error::FetchError;
use crate::fetch::Fetched;
use crate::listing;
use crate::pins::Pins;
use crate::record::{self, SnapshotRecord};
use crate::repository::Repository;
use crate::selection::{self, select};
use crate::settings::Settings;
use crate::transfer::Transfer;
use crate::watch::Watch;

/// A repository to fetch.
pub(crate) struct Snapshot<'a> {
    settings: &'a Settings,
    repository: &'a Repository,
    /// Files whose SHA-256 is known beforehand.
    pins: Pins,
    folder: RepositoryFolder,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(settings: &'a Settings, repository: &'a Repository, pins: Pins) -> Self {
        Self { settings, repository, pins, folder: RepositoryFolder::new(&settings.hub, repository) }
    }

    /// The folder of the model, downloaded as far as it is not in the cache.
    pub(crate) fn fetch(&self, watch: &mut Watch<'_>) -> Result<Fetched, FetchError> {
        if self.settings.offline {
            return self.offline(watch);
        }
        if let Some(commit) = self.repository.commit()
            && self.recorded(commit) == Some(Ok(()))
        {
            return Ok(Fetched::cached(self.folder.snapshot(commit)));
        }
        let client = Client::of_hub(self.settings)?;
        match listing::ask(&client, self.settings, self.repository, watch) {
            Ok(listing) => {
                let transfer = Transfer {
                    settings: self.settings,
                    repository: self.repository,
                    pins: self.pins,
                    folder: &self.folder,
                    client: &client,
                    listing: &listing,
                };
                transfer.run(watch)
            }
            Err(error) if error.is_of_network() => match self.cached(watch) {
                Ok(path) => {
                    watch
                        .notice(&format!("{error}. What is in the cache is used, and may not be the newest"));
                    Ok(Fetched::cached(path))
                }
                Err(_) => watch.check(None).and(Err(error)),
            },
            Err(error) => Err(error),
        }
    }

    fn offline(&self, watch: &mut Watch<'_>) -> Result<Fetched, FetchError> {
        let cached = self.cached(watch);
        watch.check(None)?;
        let path =
            cached.map_err(|missing| FetchError::Offline { what: self.repository.to_string(), missing })?;
        watch.notice("HF_HUB_OFFLINE is set: what is in the cache is used");
        Ok(Fetched::cached(path))
    }

    /// The folder of the model if all of it is in the cache, else what is missing.
    pub(crate) fn cached(&self, watch: &Watch<'_>) -> Result<PathBuf, String> {
        let revision = self.repository.revision();
        let place = self.folder.path().display();
        let commit = self.repository.commit().map(str::to_owned).or_else(|| self.folder.commit_of(revision));
        let commit = commit.ok_or_else(|| format!("its revision {revision} is not in {place}"))?;
        match self.recorded(&commit) {
            Some(complete) => complete?,
            None => self.looks_complete(&commit, watch)?,
        }
        Ok(self.folder.snapshot(&commit))
    }

    /// Whether everything is there that was there when the snapshot was fetched; `None` if this crate has not fetched
    /// it.
    fn recorded(&self, commit: &str) -> Option<Result<(), String>> {
        let path = SnapshotRecord::path(self.settings, self.repository, commit);
        let record: SnapshotRecord = record::read(&path)?;
        let snapshot = self.folder.snapshot(commit);
        let gone = |name: &str, bytes: u64| size(&snapshot.join(name)) != Some(bytes);
        let missing = record.files.iter().find(|(name, file)| gone(name, file.size));
        Some(match missing {
            Some((name, _)) => Err(format!("{name} is missing or damaged in {}", snapshot.display())),
            None => {
                let absent = |name: &str| size(&snapshot.join(name)).is_none();
                self.check_pins(commit, |name, sha256| {
                    record.files.get(name).map_or_else(|| absent(name), |file| file.blob == sha256)
                })
            }
        })
    }

    /// Whether a snapshot that another program has fetched holds a model. What else the hub has is not known here.
    fn looks_complete(&self, commit: &str, watch: &Watch<'_>) -> Result<(), String> {
        let snapshot = self.folder.snapshot(commit);
        let is_there = |name: &str| size(&snapshot.join(name)).is_some();
        let missing = |what: &str| format!("{what} missing in {}", snapshot.display());
        let selection = select(Pins::NONE, is_there).ok_or_else(|| missing("weights are"))?;
        if !is_there("config.json") && !is_there("open_clip_config.json") {
            return Err(missing("config.json is"));
        }
        if let Some(index) = selection.index {
            let shards = selection::shards(&snapshot.join(index)).map_err(|error| error.to_string())?;
            if let Some(shard) = shards.iter().find(|shard| !is_there(shard)) {
                return Err(missing(&format!("{shard} is")));
            }
        }
        self.check_pins(commit, |name, sha256| {
            !is_there(name) || self.has_contents(&snapshot.join(name), sha256, watch)
        })
    }

    /// Whether a file of a snapshot has these contents: its blob is named so, or it is no link and has that hash.
    fn has_contents(&self, path: &Path, sha256: &str, watch: &Watch<'_>) -> bool {
        let blob = fs::canonicalize(self.folder.path().join("blobs").join(sha256));
        let is_blob = fs::canonicalize(path).is_ok_and(|path| blob.is_ok_and(|blob| path == blob));
        is_blob || Digests::of(path, None, watch).is_ok_and(|digests| digests.sha256 == sha256)
    }

    /// The model is read from weights with a known SHA-256 if there are such.
    /// Every file with a known SHA-256 has to be `right` in the judgement of the caller, who is told name and hash.
    fn check_pins(&self, commit: &str, right: impl Fn(&str, &str) -> bool) -> Result<(), String> {
        let snapshot = self.folder.snapshot(commit);
        if let Some(foreign) = self.pins.foreign_in(&snapshot) {
            let pinned = self.pins.names().join(", ");
            return Err(format!("{} has the weights {foreign} in the place of {pinned}", snapshot.display()));
        }
        match self.pins.0.iter().find(|(name, sha256)| !right(name, sha256)) {
            Some((name, sha256)) => Err(format!("{name} in the cache is not that with SHA-256 {sha256}")),
            None => Ok(()),
        }
    }
}
