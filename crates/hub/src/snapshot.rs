//! A repository of the hub, from the cache or through the network.

use std::fs;
use std::path::PathBuf;

use crate::cache::{RepositoryFolder, size};
use crate::client::Client;
use crate::error::FetchError;
use crate::fetch::Fetched;
use crate::listing;
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
    pins: &'a [(&'a str, &'a str)],
    folder: RepositoryFolder,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(
        settings: &'a Settings,
        repository: &'a Repository,
        pins: &'a [(&'a str, &'a str)],
    ) -> Self {
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
        let client = Client::new(self.settings);
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
            Err(error) if error.is_of_network() => match self.cached() {
                Ok(path) => {
                    watch
                        .notice(&format!("{error}. What is in the cache is used, and may not be the newest"));
                    Ok(Fetched::cached(path))
                }
                Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn offline(&self, watch: &mut Watch<'_>) -> Result<Fetched, FetchError> {
        let path = self
            .cached()
            .map_err(|missing| FetchError::Offline { what: self.repository.to_string(), missing })?;
        watch.notice("HF_HUB_OFFLINE is set: what is in the cache is used");
        Ok(Fetched::cached(path))
    }

    /// The folder of the model if all of it is in the cache, else what is missing.
    pub(crate) fn cached(&self) -> Result<PathBuf, String> {
        let revision = self.repository.revision();
        let place = self.folder.path().display();
        let commit = self.repository.commit().map(str::to_owned).or_else(|| self.folder.commit_of(revision));
        let commit = commit.ok_or_else(|| format!("its revision {revision} is not in {place}"))?;
        match self.recorded(&commit) {
            Some(complete) => complete?,
            None => self.looks_complete(&commit)?,
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
            None => self.check_pins(|name| record.files.get(name).map(|file| file.blob.clone())),
        })
    }

    /// Whether a snapshot that another program has fetched holds a model. What else the hub has is not known here.
    fn looks_complete(&self, commit: &str) -> Result<(), String> {
        let snapshot = self.folder.snapshot(commit);
        let is_there = |name: &str| size(&snapshot.join(name)).is_some();
        let missing = |what: &str| format!("{what} missing in {}", snapshot.display());
        let selection = select(is_there).ok_or_else(|| missing("weights are"))?;
        if !is_there("config.json") && !is_there("open_clip_config.json") {
            return Err(missing("config.json is"));
        }
        if let Some(index) = selection.index {
            let shards = selection::shards(&snapshot.join(index)).map_err(|error| error.to_string())?;
            if let Some(shard) = shards.iter().find(|shard| !is_there(shard)) {
                return Err(missing(&format!("{shard} is")));
            }
        }
        self.check_pins(|name| {
            let blob = fs::read_link(snapshot.join(name)).ok()?;
            Some(blob.file_name()?.to_str()?.to_owned())
        })
    }

    fn check_pins(&self, blob: impl Fn(&str) -> Option<String>) -> Result<(), String> {
        let other = |(name, sha256): &&(&str, &str)| blob(name).is_some_and(|blob| blob != *sha256);
        match self.pins.iter().find(other) {
            Some((name, sha256)) => Err(format!("{name} in the cache is not that with SHA-256 {sha256}")),
            None => Ok(()),
        }
    }
}
