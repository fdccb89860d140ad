//! A data set as lists: which image files there are, under which labels, in which splits.
//!
//! Published data sets, manifests and image folders all end here, before any image is opened. A list of a million
//! images has to fit beside a model in memory, and every image has to be traceable to the entry that named it, so the
//! images of a split are one compact table: see [`Images`].

mod class_names;
mod duplicates;
mod error;
mod files;
mod images;
mod listed_images;
mod relative_path;
mod tree;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use class_names::ClassNames;
pub use duplicates::{Duplicate, Sameness};
pub use error::ListingError;
pub use files::{MissingImage, MissingImages};
pub use images::{EntryUnit, ImageRef, Images, Origin};
pub use listed_images::ListedImages;
pub use relative_path::PathFault;

pub(crate) use duplicates::by_path;
pub(crate) use images::Entry;
pub(crate) use relative_path::{as_path, relative, shown, unshown};
pub(crate) use tree::Tree;

/// The files of a data set, sorted into splits and labelled. Nothing is decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetListing {
    /// Name of the data set, as in the registry, or that of its folder or manifest.
    pub name: String,
    /// The folder that every path is relative to.
    pub root: PathBuf,
    /// The classes; a label is an index into them.
    pub classes: ClassNames,
    /// The domains (styles, contexts) in a fixed order; empty if the data set has none.
    pub domains: Vec<String>,
    /// The splits in their customary order: `train`, `val`, `test`, or `all` where a data set has no split.
    pub splits: Vec<Split>,
    /// What was there and is not used, one sentence each.
    pub left_out: Vec<String>,
}

/// The images of one split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// `train`, `val`, `test`, `all`, or as the manifest says.
    pub name: String,
    /// The images, in the order of the file that lists them, or sorted by path.
    pub images: Images,
}

impl DatasetListing {
    /// The split called `name`.
    pub fn split(&self, name: &str) -> Option<&Images> {
        self.splits.iter().find(|split| split.name == name).map(|split| &split.images)
    }

    /// Number of images in all splits.
    pub fn len(&self) -> usize {
        self.splits.iter().map(|split| split.images.len()).sum()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Index of a domain.
    pub fn domain(&self, name: &str) -> Option<usize> {
        self.domains.iter().position(|domain| domain == name)
    }

    /// Identifies the listed data: the sha256, in hex, over class names, domains, splits, paths and labels. The
    /// location of the data does not enter.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(self.classes.digest().as_bytes());
        self.domains.iter().for_each(|domain| part(domain.as_bytes()));
        for split in &self.splits {
            part(split.name.as_bytes());
            for image in split.images.iter() {
                part(image.path_bytes());
                part(&(image.label as u64).to_le_bytes());
                part(&image.domain.map_or(u64::MAX, |domain| domain as u64).to_le_bytes());
                part(&image.offset.unwrap_or(0).to_le_bytes());
            }
        }
        hex(hash)
    }

    /// Looks for every file that a split file, list or manifest names, and says which are not there. What was found in
    /// a folder is not looked for again.
    pub fn missing_images(&self) -> MissingImages {
        files::missing(&self.root, &self.splits)
    }

    /// Fails unless every listed file is there.
    ///
    /// # Errors
    /// [`ListingError::MissingImages`] with the first missing image, the entry that names it, and their number.
    pub fn require_files(&self) -> Result<(), ListingError> {
        let missing = self.missing_images();
        match missing.first.into_iter().next() {
            Some(first) => Err(ListingError::MissingImages { first, count: missing.count }),
            None => Ok(()),
        }
    }

    /// Images that are in more than one split by their path or, where `contents` asks for it, by the bytes of their
    /// files. Contents are compared by size first, and read only where sizes agree.
    ///
    /// # Errors
    /// [`ListingError::Unreadable`] where a file that has to be compared cannot be read.
    pub fn duplicates(&self, contents: bool) -> Result<Vec<Duplicate>, ListingError> {
        let mut found = duplicates::by_path(&self.splits);
        if contents {
            found.extend(duplicates::by_content(&self.root, &self.splits)?);
        }
        Ok(found)
    }
}

/// The digits of a finished hash.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a folder or file for a listing.
pub(crate) fn name_of(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_stem().map_or_else(|| "data".to_owned(), |name| name.to_string_lossy().into_owned())
}
