//! The layout of the hub client's cache, which Python's `huggingface_hub` reads and writes too.
//!
//! ```text
//! models--org--name/
//!   refs/main                        the commit of a branch or tag
//!   blobs/<hash>                     contents: SHA-256 of large files, git's SHA-1 of others
//!   blobs/<hash>.incomplete          the first part of a download
//!   snapshots/<commit>/config.json   a link to ../../blobs/<hash>
//! .locks/models--org--name/<hash>.lock
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::is_hexadecimal;
use crate::error::{AtPath, FetchError};
use crate::listing::Remote;
use crate::repository::Repository;

/// The folder of one repository.
#[derive(Debug)]
pub(crate) struct RepositoryFolder {
    root: PathBuf,
    locks: PathBuf,
}

impl RepositoryFolder {
    pub(crate) fn new(hub: &Path, repository: &Repository) -> Self {
        let name = repository.folder();
        Self { root: hub.join(&name), locks: hub.join(".locks").join(name) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// The folder of contents, made if it is not there.
    pub(crate) fn blobs(&self) -> Result<PathBuf, FetchError> {
        let blobs = self.root.join("blobs");
        fs::create_dir_all(&blobs).at(&blobs)?;
        Ok(blobs)
    }

    pub(crate) fn lock(&self, remote: &Remote) -> PathBuf {
        self.locks.join(format!("{}.lock", remote.blob()))
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The commit that a branch or tag had when it was last asked for.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        let commit = fs::read_to_string(self.root.join("refs").join(revision)).ok()?;
        Some(commit.trim().to_owned()).filter(|commit| is_hexadecimal(commit, 40))
    }

    /// Notes the commit of a branch or tag.
    pub(crate) fn set_commit(&self, revision: &str, commit: &str) -> Result<(), FetchError> {
        write_whole(&self.root.join("refs").join(revision), commit.as_bytes())
    }

    /// Whether the snapshot holds the file as it is announced.
    pub(crate) fn holds(&self, commit: &str, name: &str, remote: &Remote) -> bool {
        let path = self.snapshot(commit).join(name);
        let same = fs::read_link(&path)
            .map_or(true, |blob| blob.file_name().is_some_and(|blob| blob == remote.blob()));
        same && size(&path) == Some(remote.size)
    }

    /// Puts the blob of a file into the snapshot.
    pub(crate) fn place(&self, commit: &str, name: &str, remote: &Remote) -> Result<(), FetchError> {
        let path = self.snapshot(commit).join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).at(folder)?;
        }
        let blob = self.blobs()?.join(remote.blob());
        let up = "../".repeat(name.split('/').count() + 1);
        put(&path, &blob, &format!("{up}blobs/{}", remote.blob()), symlink)
    }
}

/// Size of the file at `path`, or of that which a link leads to.
pub(crate) fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// Makes `path` a link to `target`, or a copy of `blob` where links are impossible. What was there before is replaced.
fn put(
    path: &Path,
    blob: &Path,
    target: &str,
    link: impl Fn(&str, &Path) -> io::Result<()>,
) -> Result<(), FetchError> {
    let new = beside(path);
    let _ = fs::remove_file(&new);
    if link(target, &new).is_err() {
        let _ = fs::remove_file(&new);
        fs::copy(blob, &new).map_err(|source| FetchError::of_disk(path, size(blob).unwrap_or(0), source))?;
    }
    fs::rename(&new, path).at(path)
}

#[cfg(unix)]
fn symlink(target: &str, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn symlink(target: &str, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target.replace('/', "\\"), path)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &str, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Writes a small file so that nobody ever sees a part of it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).at(folder)?;
    }
    let new = beside(path);
    let needed = bytes.len() as u64;
    fs::write(&new, bytes).map_err(|source| FetchError::of_disk(path, needed, source))?;
    fs::rename(&new, path).at(path)
}

/// A name beside `path` that no other process uses.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{:?}.new", std::process::id(), std::thread::current().id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_links_are_impossible_files_are_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (blob, path) = (folder.path().join("blob"), folder.path().join("file"));
        fs::write(&blob, "contents").unwrap();
        fs::write(&path, "old").unwrap();
        put(&path, &blob, "blob", |_, _| Err(io::ErrorKind::Unsupported.into())).unwrap();
        assert!(!path.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"contents");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    }
}
