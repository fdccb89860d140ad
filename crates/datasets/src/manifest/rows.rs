//! The rows of a manifest on their way into a listing: names become numbers as they are read, and numbers become
//! labels once all names are known.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::MAX_ROW_BYTES;
use crate::listing::{
    ClassNames, DatasetListing, Entry, EntryUnit, Images, ListingError, Origin, Split, relative, shown,
};

/// Most splits and most domains of a manifest.
const MAX_GROUPS: usize = 10_000;

/// The fields of one row.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub path: &'a [u8],
    pub label: &'a str,
    pub split: Option<&'a str>,
    pub domain: Option<&'a str>,
}

/// The rows read so far.
#[derive(Debug)]
pub(super) struct Rows {
    origin: Origin,
    classes: Names,
    domains: Names,
    splits: Names,
    images: Vec<Images>,
}

/// Names, numbered in the order of their first appearance.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Box<str>, usize>,
    names: Vec<Box<str>>,
}

impl Names {
    fn number(&mut self, name: &str) -> usize {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        self.names.push(name.into());
        self.numbers.insert(name.into(), self.names.len() - 1);
        self.names.len() - 1
    }
}

impl Rows {
    pub fn new(manifest: &Path) -> Self {
        Self {
            origin: Origin { file: manifest.to_owned(), unit: EntryUnit::Line },
            classes: Names::default(),
            domains: Names::default(),
            splits: Names::default(),
            images: Vec::new(),
        }
    }

    /// The manifest.
    pub fn file(&self) -> &Path {
        &self.origin.file
    }

    /// What is wrong with a line.
    pub fn malformed(&self, line: u64, reason: impl Into<String>) -> ListingError {
        ListingError::Malformed {
            entry: format!("{}, line {line}", self.origin.file.display()),
            reason: reason.into(),
        }
    }

    /// A line that is longer than rows are.
    pub fn too_long(&self, line: u64) -> ListingError {
        self.malformed(line, format!("the row is longer than {MAX_ROW_BYTES} bytes; is this a manifest?"))
    }

    /// Adds the row of a line.
    pub fn add(&mut self, line: u64, row: &Row<'_>) -> Result<(), ListingError> {
        let path = relative(row.path).map_err(|fault| ListingError::UnsafePath {
            entry: format!("{}, line {line}", self.origin.file.display()),
            path: shown(row.path),
            fault,
        })?;
        let empty = [("label", Some(row.label)), ("split", row.split), ("domain", row.domain)];
        if let Some((column, _)) = empty.iter().find(|(_, value)| value.is_some_and(|v| v.trim().is_empty()))
        {
            return Err(self.malformed(line, format!("the {column} is empty")));
        }
        let number = usize::try_from(line).ok().filter(|&line| u32::try_from(line).is_ok());
        let number = number.ok_or_else(|| self.malformed(line, "a manifest has at most 2^32 lines"))?;
        let label = self.classes.number(row.label.trim());
        let domain = row.domain.map(|domain| self.domains.number(domain.trim()));
        let split = self.splits.number(row.split.unwrap_or("train").trim());
        if split.max(domain.unwrap_or(0)) >= MAX_GROUPS {
            return Err(self.malformed(line, format!("more than {MAX_GROUPS} splits or domains")));
        }
        if split == self.images.len() {
            self.images.push(Images::default());
        }
        let entry = Entry { label, domain, number, ..Entry::default() };
        if let Some(images) = self.images.get_mut(split) {
            images.push(&path, entry, Some(&self.origin));
        }
        Ok(())
    }

    /// The listing of all rows.
    pub fn finish(self, name: String, root: PathBuf) -> Result<DatasetListing, ListingError> {
        if self.images.is_empty() {
            return Err(ListingError::Empty { path: self.origin.file, expected: "row with an image" });
        }
        let numbers: Option<Vec<u64>> = self.classes.names.iter().map(|name| name.parse().ok()).collect();
        let mut order: Vec<usize> = (0..self.classes.names.len()).collect();
        match &numbers {
            Some(numbers) => order.sort_by_key(|&class| numbers.get(class).copied()),
            None => order.sort_by_key(|&class| self.classes.names.get(class)),
        }
        let mut label_of = vec![0; order.len()];
        for (label, &class) in order.iter().enumerate() {
            if let Some(of) = label_of.get_mut(class) {
                *of = label;
            }
        }
        let names =
            order.iter().filter_map(|&class| self.classes.names.get(class)).map(|name| name.to_string());
        let mut splits: Vec<Split> = Vec::with_capacity(self.images.len());
        for (name, mut images) in self.splits.names.iter().zip(self.images) {
            images.relabel(|class| label_of.get(class).copied().unwrap_or_default());
            splits.push(Split { name: name.to_string(), images });
        }
        let rank = |name: &str| ["train", "val", "test"].iter().position(|known| *known == name).unwrap_or(3);
        splits.sort_by(|a, b| rank(&a.name).cmp(&rank(&b.name)).then_with(|| a.name.cmp(&b.name)));
        Ok(DatasetListing {
            name,
            root,
            classes: ClassNames::new("manifest", names.collect()),
            domains: self.domains.names.iter().map(|domain| domain.to_string()).collect(),
            splits,
            left_out: Vec::new(),
        })
    }
}
