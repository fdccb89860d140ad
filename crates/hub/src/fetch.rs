//! What can be fetched, by the name that a person types.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::catalogue::{self, Entry, Published, Source, Use};
use crate::error::FetchError;
use crate::pins::Pins;
use crate::plain::PlainFile;
use crate::repository::Repository;
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::watch::Watch;

/// A model that is on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The folder of its files, or its only file.
    pub path: PathBuf,
    /// Bytes that were downloaded for it just now; 0 if it was in the cache.
    pub downloaded: u64,
}

impl Fetched {
    pub(crate) fn cached(path: PathBuf) -> Self {
        Self { path, downloaded: 0 }
    }
}

/// A model to fetch.
#[derive(Debug, Clone)]
pub struct Wanted {
    place: Place,
    used_as: Option<Use>,
}

#[derive(Debug, Clone)]
enum Place {
    Hub { repository: Repository, pins: Pins },
    File { model: &'static str, file: &'static str, url: &'static str, published: Published },
}

impl Wanted {
    /// Reads a built-in name, a built-in name with a revision of its repository (`name@revision`), or a repository
    /// (`org/name`, `org/name@revision`).
    ///
    /// # Errors
    /// [`FetchError::UnknownName`], [`FetchError::BadName`].
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        let (name, revision) = match text.split_once('@') {
            Some((name, revision)) => (name, Some(revision)),
            None => (text, None),
        };
        if name.contains('/') {
            let place = Place::Hub { repository: Repository::parse(text)?, pins: Pins::NONE };
            return Ok(Self { place, used_as: None });
        }
        let entry = catalogue::find(name).ok_or_else(|| catalogue::unknown(name))?;
        let wanted = Self::of(entry)?;
        match (revision, wanted.place) {
            (None, place) => Ok(Self { place, ..wanted }),
            (Some(revision), Place::Hub { repository, pins }) => {
                let pins = if repository.revision() == revision { pins } else { Pins::NONE };
                let place = Place::Hub { repository: repository.at(revision)?, pins };
                Ok(Self { place, used_as: wanted.used_as })
            }
            (Some(_), Place::File { .. }) => Err(FetchError::BadName {
                text: text.to_owned(),
                reason: "it is a single file of its publisher, which has no revisions",
            }),
        }
    }

    /// An entry of a list.
    ///
    /// # Errors
    /// [`FetchError::BadName`].
    pub fn of(entry: &'static Entry) -> Result<Self, FetchError> {
        let place = match &entry.source {
            Source::Hub { repository, commit, sha256 } => {
                Place::Hub { repository: Repository::parse(repository)?.at(commit)?, pins: Pins(sha256) }
            }
            Source::File { url, file, published } => {
                Place::File { model: entry.name, file, url, published: *published }
            }
        };
        Ok(Self { place, used_as: Some(entry.used_as) })
    }

    /// Brings the model to this disk, as far as it is not there.
    ///
    /// # Errors
    /// Every [`FetchError`] but those of names.
    pub fn fetch(&self, settings: &Settings, watch: &mut Watch<'_>) -> Result<Fetched, FetchError> {
        match &self.place {
            Place::Hub { repository, pins } => Snapshot::new(settings, repository, *pins).fetch(watch),
            Place::File { model, file, url, published } => {
                PlainFile { settings, model, file, url, published: *published }.fetch(watch)
            }
        }
    }

    /// Where the model is, if all of it is in the cache. Files of which a SHA-256 is known beforehand, and that neither
    /// this crate has fetched nor are links of the hub's client, are hashed.
    pub fn cached(&self, settings: &Settings) -> Option<PathBuf> {
        match &self.place {
            Place::Hub { repository, pins } => {
                let watch = Watch { stop: &|| false, tell: &mut |_| {} };
                Snapshot::new(settings, repository, *pins).cached(&watch).ok()
            }
            Place::File { model, file, url, published } => {
                PlainFile { settings, model, file, url, published: *published }.cached()
            }
        }
    }

    /// What the model at `path` is good for, as far as that can be told.
    pub fn used_as(&self, path: &Path) -> Option<Use> {
        self.used_as.or_else(|| guessed(path))
    }
}

/// What the configuration in a folder says that it is.
fn guessed(folder: &Path) -> Option<Use> {
    if folder.join("open_clip_config.json").exists() {
        return Some(Use::Clip);
    }
    let config: Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).ok()?).ok()?;
    match config["model_type"].as_str() {
        Some("clip") => Some(Use::Clip),
        Some("bert") => Some(Use::Text),
        Some("vit") => Some(Use::Backbone),
        _ => config["architecture"].is_string().then_some(Use::Backbone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_at_its_own_commit_keeps_its_hashes() {
        let pinned = |text: &str| match Wanted::parse(text).unwrap().place {
            Place::Hub { pins, .. } => pins.names(),
            Place::File { .. } => Vec::new(),
        };
        let own = "tinyclip-8m@a2a8c6eaa2549ad66eb7c31b85022bf58273a26c";
        assert_eq!(pinned("tinyclip-8m"), ["model.safetensors"]);
        assert_eq!(pinned(own), ["model.safetensors"]);
        assert!(pinned("tinyclip-8m@main").is_empty());
        assert!(pinned(&own.replace("a2a8", "b2a8")).is_empty());
    }
}
