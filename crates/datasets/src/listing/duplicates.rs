//! Images that are in two splits. A test image that is also trained on makes a result worthless, and public data sets
//! have them.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{ImageRef, ListingError, Split, hex};

/// What two entries have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sameness {
    /// The same file is listed twice.
    Path,
    /// Two files have the same bytes.
    Content,
}

/// An image that is in two splits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// What is the same.
    pub same: Sameness,
    /// Split and path of the one that comes first.
    pub first: (String, String),
    /// Split and path of the other.
    pub second: (String, String),
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((a, first), (b, second)) = (&self.first, &self.second);
        match self.same {
            Sameness::Path => write!(f, "{first} is in {a} and in {b}"),
            Sameness::Content => write!(f, "{first} of {a} and {second} of {b} have the same content"),
        }
    }
}

fn all(splits: &[Split]) -> impl Iterator<Item = (usize, ImageRef<'_>)> {
    splits
        .iter()
        .enumerate()
        .flat_map(|(number, split)| split.images.iter().map(move |image| (number, image)))
}

fn duplicate(
    same: Sameness,
    splits: &[Split],
    a: (usize, ImageRef<'_>),
    b: (usize, ImageRef<'_>),
) -> Duplicate {
    let place = |(split, image): (usize, ImageRef<'_>)| {
        (splits.get(split).map(|split| split.name.clone()).unwrap_or_default(), image.shown())
    };
    Duplicate { same, first: place(a), second: place(b) }
}

/// Entries of two splits with the same path, in the order of the later entry.
pub(crate) fn by_path(splits: &[Split]) -> Vec<Duplicate> {
    let mut first_split: HashMap<(&[u8], Option<u64>), usize> = HashMap::new();
    let mut found = Vec::new();
    for (split, image) in all(splits) {
        let first = *first_split.entry((image.path_bytes(), image.offset)).or_insert(split);
        if first != split {
            found.push(duplicate(Sameness::Path, splits, (first, image), (split, image)));
        }
    }
    found
}

/// Different files of two splits with the same content. Records of archives are not compared.
pub(super) fn by_content(root: &Path, splits: &[Split]) -> Result<Vec<Duplicate>, ListingError> {
    let files: Vec<(usize, ImageRef<'_>)> = all(splits).filter(|(_, image)| image.offset.is_none()).collect();
    let sizes: Vec<Option<u64>> = files
        .par_iter()
        .map(|(_, image)| std::fs::metadata(root.join(image.path())).ok().map(|found| found.len()))
        .collect();
    let mut of_size: HashMap<u64, Vec<usize>> = HashMap::new();
    for (index, size) in sizes.iter().enumerate() {
        if let Some(size) = size {
            of_size.entry(*size).or_default().push(index);
        }
    }
    let in_two_splits = |group: &&Vec<usize>| group.iter().any(|&other| files[other].0 != files[group[0]].0);
    let mut compared: Vec<usize> = of_size.values().filter(in_two_splits).flatten().copied().collect();
    compared.sort_unstable();
    let digests: Vec<String> = compared
        .par_iter()
        .map(|&index| digest(&root.join(files[index].1.path())))
        .collect::<Result<_, ListingError>>()?;
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut found = Vec::new();
    for (&index, content) in compared.iter().zip(&digests) {
        let first = files[*seen.entry(content).or_insert(index)];
        let (split, image) = files[index];
        if first.0 != split && first.1.path_bytes() != image.path_bytes() {
            found.push(duplicate(Sameness::Content, splits, first, (split, image)));
        }
    }
    Ok(found)
}

/// The sha256 of a file.
fn digest(path: &Path) -> Result<String, ListingError> {
    let read = || -> io::Result<Sha256> {
        let mut file = File::open(path)?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                return Ok(hash);
            }
            hash.update(&buffer[..length]);
        }
    };
    read().map(hex).map_err(ListingError::unreadable(path))
}
