//! What was read from an image folder, what was skipped, and what was odd: for the experiment's
//! record and for the person at the terminal.

use std::collections::BTreeMap;
use std::fmt;

use regulus_images::Oddity;
use serde::Serialize;

use super::classes::ClassName;
use super::layout::Layout;

/// The account of one folder. Its [`Display`](fmt::Display) is a few lines; all of it serialises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FolderReport {
    /// The layout, found or given.
    pub layout: Layout,
    /// The classes in label order.
    pub classes: Vec<ClassName>,
    /// Decoded images per split, `train` first.
    pub images: Vec<SplitImages>,
    /// Files that could not be decoded, by split and path.
    pub skipped: Vec<Skipped>,
    /// Number of decoded images with each oddity; an image may have several.
    pub oddities: BTreeMap<Oddity, usize>,
    /// Number of hidden entries and files that are not images.
    pub ignored: usize,
    /// Folders that were not read, relative to the root.
    pub unused_folders: Vec<String>,
    /// Identity of the listed files: see [`FolderListing::fingerprint`](super::FolderListing::fingerprint).
    pub fingerprint: String,
}

/// Number of decoded images of one split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitImages {
    /// The split.
    pub split: String,
    /// All its images.
    pub images: usize,
    /// Its images of each class, in label order `[classes]`.
    pub per_class: Vec<usize>,
}

impl SplitImages {
    pub(crate) fn count(split: &str, labels: &[usize], classes: usize) -> Self {
        let mut per_class = vec![0; classes];
        labels.iter().for_each(|&label| per_class[label] += 1);
        Self { split: split.to_owned(), images: labels.len(), per_class }
    }
}

/// A file that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Skipped {
    /// The file, relative to the folder.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for FolderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 10;
        let splits: Vec<String> = self.images.iter().map(|s| format!("{} {}", s.split, s.images)).collect();
        write!(f, "{} layout, {} classes; images: {}", self.layout, self.classes.len(), splits.join(", "))?;
        for (oddity, count) in &self.oddities {
            write!(f, "\nodd but used: {count} ({oddity})")?;
        }
        if !self.skipped.is_empty() {
            write!(f, "\nskipped, undecodable: {}", self.skipped.len())?;
        }
        for Skipped { path, reason } in self.skipped.iter().take(NAMED) {
            write!(f, "\n  {path}: {reason}")?;
        }
        if self.skipped.len() > NAMED {
            write!(f, "\n  and {} more", self.skipped.len() - NAMED)?;
        }
        if self.ignored > 0 {
            write!(f, "\nignored: {} hidden or other files", self.ignored)?;
        }
        if !self.unused_folders.is_empty() {
            write!(f, "\nfolders not read: {}", self.unused_folders.join(", "))?;
        }
        Ok(())
    }
}
