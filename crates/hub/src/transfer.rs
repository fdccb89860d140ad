//! The files of a listed repository: what is missing of them is downloaded, verified and put into its snapshot.

use std::collections::BTreeSet;
use std::fs;

use crate::address::Address;
use crate::cache::{RepositoryFolder, size};
use crate::client::Client;
use crate::digest::{Digests, Expected};
use crate::download::{Download, remove};
use crate::error::{AtPath, FetchError};
use crate::fetch::Fetched;
use crate::listing::{Listing, Remote};
use crate::lock;
use crate::pins::Pins;
use crate::record::{self, SnapshotRecord};
use crate::repository::Repository;
use crate::selection::{self, WEIGHTS, select};
use crate::settings::Settings;
use crate::space;
use crate::watch::{Event, Watch};

/// One repository on its way.
pub(crate) struct Transfer<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) repository: &'a Repository,
    pub(crate) pins: Pins,
    pub(crate) folder: &'a RepositoryFolder,
    pub(crate) client: &'a Client<'a>,
    pub(crate) listing: &'a Listing,
}

impl Transfer<'_> {
    /// Brings everything that is wanted of the repository into its snapshot.
    pub(crate) fn run(&self, watch: &mut Watch<'_>) -> Result<Fetched, FetchError> {
        let commit = &self.listing.commit;
        let selection = select(self.pins, |name| self.listing.files.contains_key(name)).ok_or_else(|| {
            FetchError::NoWeights { what: self.repository.to_string(), looked_for: WEIGHTS.to_vec() }
        })?;
        self.check_weights(selection.weights)?;
        let mut files = Vec::new();
        for name in selection.files {
            files.push((name.to_owned(), &self.listing.files[name]));
        }
        self.check_pins(&files)?;
        let mut downloaded = self.bring(&files, watch)?;
        if let Some(index) = selection.index {
            let shards = self.shards(index)?;
            downloaded += self.bring(&shards, watch)?;
            files.extend(shards);
        }
        if self.repository.commit().is_none() {
            self.folder.set_commit(self.repository.revision(), commit)?;
        }
        let mut snapshot = SnapshotRecord::default();
        files.iter().for_each(|(name, remote)| snapshot.add(name, remote));
        record::write(&SnapshotRecord::path(self.settings, self.repository, commit), &snapshot)?;
        Ok(Fetched { path: self.folder.snapshot(commit), downloaded })
    }

    /// Neither the hub nor the folder may offer other weights in the place of pinned ones.
    fn check_weights(&self, weights: &str) -> Result<(), FetchError> {
        let unpinned = |file: &str, place: String| {
            Err(FetchError::Unpinned { file: file.to_owned(), place, pinned: self.pins.names() })
        };
        let snapshot = self.folder.snapshot(&self.listing.commit);
        if !self.pins.allow(weights) {
            return unpinned(weights, self.url(&self.repository.id())?.to_string());
        }
        match self.pins.foreign_in(&snapshot) {
            Some(foreign) => unpinned(foreign, snapshot.display().to_string()),
            None => Ok(()),
        }
    }

    /// Nothing is downloaded whose announced hash is not the published one.
    fn check_pins(&self, files: &[(String, &Remote)]) -> Result<(), FetchError> {
        for (name, remote) in files {
            if let Some(sha256) = self.pins.sha256_of(name)
                && remote.contents != Expected::Sha256(sha256.to_owned())
            {
                return Err(FetchError::Unexpected {
                    file: name.clone(),
                    url: self.url(&self.repository.id())?,
                    pinned: sha256.to_owned(),
                    announced: remote.blob().to_owned(),
                });
            }
        }
        Ok(())
    }

    fn shards(&self, index: &str) -> Result<Vec<(String, &Remote)>, FetchError> {
        let path = self.folder.snapshot(&self.listing.commit).join(index);
        let names: BTreeSet<String> = selection::shards(&path)?;
        let listed = |name: String| match self.listing.files.get(&name) {
            Some(remote) => Ok((name, remote)),
            None => {
                let reason = format!("it names {name}, which the repository does not have");
                Err(FetchError::Index { path: path.clone(), reason })
            }
        };
        names.into_iter().map(listed).collect()
    }

    /// Brings files into the snapshot; the number of bytes that were downloaded.
    fn bring(&self, files: &[(String, &Remote)], watch: &mut Watch<'_>) -> Result<u64, FetchError> {
        let blobs = self.folder.blobs()?;
        let missing: Vec<_> = files
            .iter()
            .filter(|(name, remote)| !self.folder.holds(&self.listing.commit, name, remote))
            .collect();
        let have = |remote: &Remote| {
            let name = remote.blob();
            let complete = size(&blobs.join(name)).filter(|bytes| *bytes == remote.size);
            complete.or_else(|| size(&blobs.join(format!("{name}.incomplete")))).unwrap_or(0)
        };
        let needed = missing
            .iter()
            .fold(0_u64, |sum, (_, remote)| sum.saturating_add(remote.size.saturating_sub(have(remote))));
        space::check(&blobs, needed)?;
        let mut downloaded = 0;
        for (name, remote) in missing {
            downloaded += self.blob(name, remote, watch)?;
            self.folder.place(&self.listing.commit, name, remote)?;
        }
        Ok(downloaded)
    }

    /// Makes sure that the contents of a file are in the cache; the number of bytes that were downloaded.
    fn blob(&self, name: &str, remote: &Remote, watch: &mut Watch<'_>) -> Result<u64, FetchError> {
        let path = self.folder.blobs()?.join(remote.blob());
        let _lock = lock::take(&self.folder.lock(remote), name, watch)?;
        if size(&path) == Some(remote.size) {
            return Ok(0);
        }
        let download = Download {
            client: self.client,
            url: self.url(&format!("{}/resolve/{}/{name}", self.repository.id(), self.listing.commit))?,
            of_hub: true,
            name,
            partial: path.with_added_extension("incomplete"),
            size: Some(remote.size),
        };
        let ((), downloaded) = download.verified(watch, |watch| {
            let digests = Digests::of(&download.partial, Some(&remote.contents), watch)?;
            let Some(found) = digests.other_than(&remote.contents) else { return Ok(()) };
            remove(&download.partial)?;
            Err(FetchError::WrongHash {
                file: name.to_owned(),
                url: download.url.clone(),
                kind: remote.contents.kind(),
                expected: remote.blob().to_owned(),
                found,
            })
        })?;
        fs::rename(&download.partial, &path).at(&path)?;
        (watch.tell)(Event::Finished { file: name, bytes: remote.size });
        Ok(downloaded)
    }

    fn url(&self, path: &str) -> Result<Address, FetchError> {
        self.settings
            .endpoint
            .below(path)
            .map_err(|reason| FetchError::Setting { variable: "HF_ENDPOINT".into(), reason: reason.into() })
    }
}
