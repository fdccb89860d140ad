//! The checked list of the files of an image folder: what will be decoded, under which labels and
//! in which splits. It is complete before any image is opened, so an experiment takes its identity
//! from it.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::classes::ClassName;
use super::layout::Layout;
use crate::Subset;

/// One image file of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Where the file is.
    pub path: PathBuf,
    /// The path inside the folder.
    pub relative: PathBuf,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Index of its class.
    pub label: usize,
}

impl ListedFile {
    /// The relative path with `/` between its parts, the same on every platform: orders files and
    /// enters hashes.
    pub(super) fn key(&self) -> Vec<u8> {
        let parts: Vec<&[u8]> = self.relative.iter().map(|part| part.as_encoded_bytes()).collect();
        parts.join(&b'/')
    }

    /// The relative path for people; bytes that are not UTF-8 are replaced.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.key()).into_owned()
    }
}

/// The files of one split, sorted by relative path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSplit {
    /// `train`, `id` (held out of train), `test`, or `ood:<domain>`.
    pub name: String,
    /// The files.
    pub files: Vec<ListedFile>,
}

/// The checked list of the files of an image folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderListing {
    /// The folder.
    pub root: PathBuf,
    /// Its layout, found or given.
    pub layout: Layout,
    /// The classes of the training images, sorted by raw name; a label is an index into them.
    pub classes: Vec<ClassName>,
    /// The training images.
    pub train: ListedSplit,
    /// The test splits: `id` first, then `test` or the test domains in the order of the request.
    /// Empty if nothing is held out and the folder has no test images.
    pub tests: Vec<ListedSplit>,
    /// Number of hidden entries and files that are not images in the folders that were read.
    pub ignored: usize,
    /// Folders that were not read, relative to the root: other domains, folders beside `train` and
    /// `test`, folders inside class folders, links to folders.
    pub unused_folders: Vec<String>,
}

impl FolderListing {
    /// Every split, `train` first.
    pub fn splits(&self) -> impl Iterator<Item = &ListedSplit> {
        std::iter::once(&self.train).chain(&self.tests)
    }

    /// Keeps of the training images those of a subset, which depends on the listed files and the seed.
    #[must_use]
    pub fn with_training_subset(mut self, subset: &Subset, seed: u64) -> Self {
        let labels: Vec<usize> = self.train.files.iter().map(|file| file.label).collect();
        let mut chosen = subset.choose(&labels, self.classes.len(), seed);
        chosen.sort_unstable();
        self.train.files = chosen.into_iter().map(|index| self.train.files[index].clone()).collect();
        self
    }

    /// Identifies the listed data: the sha256, in hex, over relative path, length, label and split
    /// of every file, sorted. The location of the folder and the order of domains do not enter.
    pub fn fingerprint(&self) -> String {
        let mut lines: Vec<(&str, Vec<u8>, &ListedFile)> = self
            .splits()
            .flat_map(|s| s.files.iter().map(|file| (s.name.as_str(), file.key(), file)))
            .collect();
        lines.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let mut hash = Sha256::new();
        for (split, key, file) in lines {
            for part in
                [split.as_bytes(), &key, &file.bytes.to_le_bytes(), &(file.label as u64).to_le_bytes()]
            {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
