//! What of a data set is on this disk: which parts are missing and how to get them, and whether classes and sizes are
//! the published ones. Everything is told at once, so that nobody finds the second fault after repairing the first.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::dataset::{PublishedDataset, PublishedSplit};
use super::read::{self, Place};
use crate::listing::{DatasetListing, Duplicate, MissingImages};

/// What [`check`](super::check) looks at besides lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckOptions {
    /// Whether every listed image is there; on by default.
    pub files: bool,
    /// Whether images of different splits have the same content, which reads those of equal size; off by default.
    pub contents: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { files: true, contents: false }
    }
}

/// What was found of a data set. Its [`Display`](fmt::Display) is for people; all of it serialises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The data set.
    pub dataset: &'static str,
    /// Its folder, or where it was looked for.
    pub folder: PathBuf,
    /// Its homepage.
    pub homepage: &'static str,
    /// Its terms of use.
    pub licence: &'static str,
    /// Size of the download in megabytes, roughly.
    pub megabytes: Option<u32>,
    /// Parts that are not there.
    pub missing: Vec<MissingPart>,
    /// Why the parts that are there cannot be listed.
    pub fault: Option<String>,
    /// Its classes; `None` if it cannot be listed.
    pub classes: Option<ClassCheck>,
    /// Its splits.
    pub splits: Vec<SplitCheck>,
    /// Published sizes beside those that were found.
    pub counts: Vec<CountCheck>,
    /// Listed images that are not there.
    pub missing_images: MissingImages,
    /// Images that are in two splits.
    pub duplicates: Vec<Duplicate>,
    /// What was there and is not used.
    pub left_out: Vec<String>,
}

/// A part that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingPart {
    /// Its path, relative to the folder of the data set; where it may have several, the first.
    pub path: &'static str,
    /// How to get it.
    pub how: &'static str,
}

/// The classes of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassCheck {
    /// Number of classes.
    pub count: usize,
    /// Their published number.
    pub published: usize,
    /// Digest of their names.
    pub digest: String,
    /// The digest of the published names, where it is known.
    pub published_digest: Option<String>,
    /// Class folders that should be there and are not.
    pub missing_folders: Vec<&'static str>,
}

/// A split as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitCheck {
    /// Its name.
    pub name: String,
    /// Number of its images.
    pub images: usize,
    /// Number of its images of each class.
    pub per_class: Vec<usize>,
}

/// A published number and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountCheck {
    /// The split; `all` for all splits together.
    pub split: &'static str,
    /// What was counted.
    pub of: Count,
    /// The published number.
    pub published: usize,
    /// The number that was found.
    pub found: usize,
}

/// What a number counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Count {
    /// All images of the split.
    Split,
    /// Its images of a class.
    Class(String),
    /// Its images of a domain.
    Domain(String),
}

impl CheckReport {
    /// Whether the data set can be used: it can be listed, and no listed image is missing.
    pub fn is_usable(&self) -> bool {
        self.missing.is_empty() && self.fault.is_none() && self.missing_images.count == 0
    }

    /// Whether it is usable and all that is published of its sizes and names agrees.
    pub fn is_as_published(&self) -> bool {
        let classes = self.classes.as_ref().is_some_and(ClassCheck::agrees);
        self.is_usable() && classes && self.counts.iter().all(|count| count.published == count.found)
    }
}

impl ClassCheck {
    /// Whether number, folders and, where they are known, names are the published ones.
    pub fn agrees(&self) -> bool {
        let names = self.published_digest.as_ref().is_none_or(|digest| *digest == self.digest);
        names && self.count == self.published && self.missing_folders.is_empty()
    }
}

/// Looks for a data set below `root`.
pub(super) fn check(dataset: &'static PublishedDataset, root: &Path, options: CheckOptions) -> CheckReport {
    let place = Place::find(dataset, root);
    let missing: Vec<MissingPart> = place
        .missing()
        .into_iter()
        .map(|part| MissingPart { path: part.paths.first().copied().unwrap_or_default(), how: part.how })
        .collect();
    let mut report = CheckReport {
        dataset: dataset.name,
        folder: place.folder.clone(),
        homepage: dataset.homepage,
        licence: dataset.licence,
        megabytes: dataset.megabytes,
        missing,
        fault: None,
        classes: None,
        splits: Vec::new(),
        counts: Vec::new(),
        missing_images: MissingImages::default(),
        duplicates: Vec::new(),
        left_out: Vec::new(),
    };
    if report.missing.is_empty() {
        match read::read_at(&place) {
            Ok(listing) => report.describe(dataset, listing, options),
            Err(error) => report.fault = Some(error.to_string()),
        }
    }
    report
}

impl CheckReport {
    fn describe(&mut self, dataset: &PublishedDataset, listing: DatasetListing, options: CheckOptions) {
        self.classes = Some(ClassCheck {
            count: listing.classes.len(),
            published: dataset.classes.count,
            digest: listing.classes.digest(),
            published_digest: dataset.class_digest(),
            missing_folders: missing_folders(dataset, &listing),
        });
        let classes = listing.classes.len();
        for split in &listing.splits {
            let (name, images) = (split.name.clone(), split.images.len());
            self.splits.push(SplitCheck { name, images, per_class: split.images.per_class(classes) });
        }
        for published in dataset.splits {
            self.count(published, &listing);
        }
        if options.files {
            self.missing_images = listing.missing_images();
        }
        let contents = options.contents && self.missing_images.count == 0;
        match listing.duplicates(contents) {
            Ok(duplicates) => self.duplicates = duplicates,
            Err(error) => self.fault = Some(error.to_string()),
        }
        self.left_out = listing.left_out;
    }

    fn count(&mut self, published: &PublishedSplit, listing: &DatasetListing) {
        let named = |name: &str| published.name == "all" || published.name == name;
        let used = || listing.splits.iter().filter(|split| named(&split.name)).map(|split| &split.images);
        let mut add = |of: Count, published_count: usize, found: usize| {
            self.counts.push(CountCheck { split: published.name, of, published: published_count, found });
        };
        if let Some(images) = published.images {
            add(Count::Split, images, used().map(|images| images.len()).sum());
        }
        for (label, &count) in published.per_class.unwrap_or_default().iter().enumerate() {
            let name = listing.classes.names.get(label).cloned().unwrap_or_else(|| label.to_string());
            let found = used().flat_map(|images| images.iter()).filter(|image| image.label == label).count();
            add(Count::Class(name), count, found);
        }
        for (domain, &count) in published.per_domain.unwrap_or_default().iter().enumerate() {
            let name = listing.domains.get(domain).cloned().unwrap_or_else(|| domain.to_string());
            let found =
                used().flat_map(|images| images.iter()).filter(|image| image.domain == Some(domain)).count();
            add(Count::Domain(name), count, found);
        }
    }
}

/// The published class folders that no image is in.
fn missing_folders(dataset: &PublishedDataset, listing: &DatasetListing) -> Vec<&'static str> {
    let Some(folders) = dataset.classes.folders else { return Vec::new() };
    let mut found: HashSet<&[u8]> = HashSet::new();
    for split in &listing.splits {
        for image in split.images.iter() {
            let mut parts = image.path_bytes().rsplit(|&byte| byte == b'/');
            if let Some(folder) = parts.nth(1) {
                found.insert(folder);
            }
        }
    }
    folders.lines().filter(|folder| !found.contains(folder.as_bytes())).collect()
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.is_as_published(), self.is_usable()) {
            (true, _) => "complete, as published",
            (_, true) => "usable, not as published",
            _ if self.missing.is_empty() => "faulty",
            _ => "incomplete",
        };
        write!(f, "{}: {state} ({})", self.dataset, self.folder.display())?;
        for part in &self.missing {
            write!(f, "\n  missing {}: get it from {}", part.path, part.how)?;
        }
        if !self.missing.is_empty() {
            let size = self.megabytes.map(|size| format!(", about {size} MB")).unwrap_or_default();
            write!(f, "\n  source {}{size}; licence: {}", self.homepage, self.licence)?;
        }
        if let Some(fault) = &self.fault {
            write!(f, "\n  fault: {fault}")?;
        }
        for split in &self.splits {
            let range = (split.per_class.iter().min(), split.per_class.iter().max());
            if let (Some(least), Some(most)) = range {
                write!(f, "\n  {}: {} images, {least} to {most} per class", split.name, split.images)?;
            }
        }
        if let Some(classes) = &self.classes {
            write!(
                f,
                "\n  {} classes, names {}",
                classes.count,
                classes.digest.get(..12).unwrap_or_default()
            )?;
            if classes.count != classes.published {
                write!(f, ", published {}", classes.published)?;
            }
            if classes.published_digest.as_ref().is_some_and(|digest| *digest != classes.digest) {
                f.write_str("; the names or their order differ from the published ones")?;
            }
            some_of(f, "class folders without images", &classes.missing_folders)?;
        }
        for count in self.counts.iter().filter(|count| count.published != count.found) {
            let of = match &count.of {
                Count::Split => String::new(),
                Count::Class(name) => format!(", class {name}"),
                Count::Domain(name) => format!(", domain {name}"),
            };
            write!(f, "\n  {}{of}: {} images, published {}", count.split, count.found, count.published)?;
        }
        if self.missing_images.count > 0 {
            write!(f, "\n  missing images: {}", self.missing_images.count)?;
            for image in &self.missing_images.first {
                write!(f, "\n    {image}")?;
            }
        }
        some_of(f, "in two splits", &self.duplicates)?;
        some_of(f, "left out", &self.left_out)
    }
}

/// The number of items, and the first of them.
fn some_of<T: fmt::Display>(f: &mut fmt::Formatter<'_>, title: &str, items: &[T]) -> fmt::Result {
    const NAMED: usize = 10;
    if items.is_empty() {
        return Ok(());
    }
    write!(f, "\n  {title}: {}", items.len())?;
    items.iter().take(NAMED).try_for_each(|item| write!(f, "\n    {item}"))
}
