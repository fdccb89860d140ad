//! The table of the images of a split: one arena for the bytes of all paths and one short row per image, about 100
//! bytes each, so that a million images take a tenth of a gigabyte.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::relative_path::{as_path, shown};

/// Images with labels, in order.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Images {
    paths: Vec<u8>,
    rows: Vec<Row>,
    origins: Vec<Arc<Origin>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    /// Where the path ends in the arena; it starts where that of the row before ends.
    end: u64,
    offset: Option<NonZeroU64>,
    label: u32,
    entry: u32,
    domain: u16,
    origin: u16,
}

const NONE: u16 = u16::MAX;

/// A file that lists images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// How its entries are counted.
    pub unit: EntryUnit,
}

/// How the entries of a file are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryUnit {
    /// Lines from 1.
    Line,
    /// Elements, from 0, of the list under this key.
    Element(String),
}

/// An image of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageRef<'a> {
    path: &'a [u8],
    /// Index of the class.
    pub label: usize,
    /// Index of the domain, where the data set has domains.
    pub domain: Option<usize>,
    /// Where the file is an archive of raw images (CIFAR): the byte at which the pixels of this one start.
    pub offset: Option<u64>,
    origin: Option<&'a Origin>,
    entry: u32,
}

/// What is known of an image when it is listed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    pub label: usize,
    pub domain: Option<usize>,
    pub offset: u64,
    /// Number in the origin's own count.
    pub number: usize,
}

impl<'a> ImageRef<'a> {
    /// The path relative to the root of the listing.
    pub fn path(&self) -> Cow<'a, Path> {
        as_path(self.path)
    }

    /// The bytes of the path, with `/` between its parts: the same on every platform.
    pub fn path_bytes(&self) -> &'a [u8] {
        self.path
    }

    /// The path for people and text files; bytes that are not UTF-8 are escaped as `%XX`.
    pub fn shown(&self) -> String {
        shown(self.path)
    }

    /// Whether a file names the image; otherwise it was found in a folder.
    pub(crate) fn is_from_list(&self) -> bool {
        self.origin.is_some()
    }

    /// The entry that names the image, such as `split.json, train[17]`; `None` where a folder was listed.
    pub fn entry(&self) -> Option<String> {
        self.origin.map(|origin| origin.entry(self.entry))
    }
}

impl Origin {
    fn entry(&self, number: u32) -> String {
        match &self.unit {
            EntryUnit::Line => format!("{}, line {number}", self.file.display()),
            EntryUnit::Element(key) => format!("{}, {key}[{number}]", self.file.display()),
        }
    }
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Image `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<ImageRef<'_>> {
        let row = self.rows.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.rows.get(before)).map_or(0, |row| row.end);
        Some(ImageRef {
            path: self.paths.get(start as usize..row.end as usize)?,
            label: row.label as usize,
            domain: (row.domain != NONE).then_some(row.domain as usize),
            offset: row.offset.map(NonZeroU64::get),
            origin: self.origins.get(row.origin as usize).map(|origin| &**origin),
            entry: row.entry,
        })
    }

    /// All images, in order.
    pub fn iter(&self) -> impl Iterator<Item = ImageRef<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The labels, in order.
    pub fn labels(&self) -> Vec<usize> {
        self.rows.iter().map(|row| row.label as usize).collect()
    }

    /// Number of images of each of `classes` classes.
    pub fn per_class(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for row in &self.rows {
            if let Some(count) = counts.get_mut(row.label as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// The images at `indices`, in that order; an index beyond the end is left out.
    #[must_use]
    pub fn pick(&self, indices: &[usize]) -> Self {
        let mut picked = Self::default();
        indices
            .iter()
            .filter_map(|&index| self.get(index))
            .for_each(|image| picked.append(image, image.label));
        picked
    }

    /// Adds an image of another table under a label of its own.
    pub fn append(&mut self, image: ImageRef<'_>, label: usize) {
        let origin = image.origin.map_or(NONE, |origin| self.origin_number(origin));
        self.paths.extend_from_slice(image.path);
        self.rows.push(Row {
            end: self.paths.len() as u64,
            offset: image.offset.and_then(NonZeroU64::new),
            label: short(label),
            entry: image.entry,
            domain: image.domain.and_then(|domain| u16::try_from(domain).ok()).unwrap_or(NONE),
            origin,
        });
    }

    /// Adds an image that an origin lists. `path` has been through [`relative`](super::relative()).
    pub(crate) fn push(&mut self, path: &[u8], entry: Entry, origin: Option<&Origin>) {
        let Entry { label, domain, offset, number } = entry;
        let offset = (offset > 0).then_some(offset);
        self.append(ImageRef { path, label, domain, offset, origin, entry: short(number) }, label);
    }

    /// Replaces every label by what `new` says of it.
    pub(crate) fn relabel(&mut self, new: impl Fn(usize) -> usize) {
        self.rows.iter_mut().for_each(|row| row.label = short(new(row.label as usize)));
    }

    fn origin_number(&mut self, origin: &Origin) -> u16 {
        // The newest comes first: a file's entries are added one after another.
        let same = |known: &Arc<Origin>| {
            known.file.as_os_str() == origin.file.as_os_str() && known.unit == origin.unit
        };
        let known = self.origins.iter().rposition(same);
        let number = known.unwrap_or_else(|| {
            self.origins.push(Arc::new(origin.clone()));
            self.origins.len() - 1
        });
        u16::try_from(number).unwrap_or(NONE)
    }
}

/// Readers refuse more than `u32::MAX` classes and entries, so nothing is cut off here.
fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|image| (image.shown(), image.label))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_can_be_picked() {
        let origin = Origin { file: "split.json".into(), unit: EntryUnit::Element("train".into()) };
        let mut images = Images::default();
        images.push(b"a.png", Entry { label: 1, number: 0, ..Entry::default() }, Some(&origin));
        images.push(b"\xff/b.png", Entry { label: 0, domain: Some(2), offset: 7, number: 1 }, Some(&origin));
        images.push(b"c.png", Entry { label: 2, ..Entry::default() }, None);
        let picked = images.pick(&[1, 9, 0]);
        assert_eq!(picked.labels(), [0, 1]);
        let first = picked.get(0).unwrap();
        assert_eq!((first.shown().as_str(), first.domain, first.offset), ("%FF/b.png", Some(2), Some(7)));
        assert_eq!(first.entry().unwrap(), "split.json, train[1]");
        assert_eq!(images.get(2).unwrap().entry(), None);
        assert_eq!(images.per_class(2), [1, 1]);
        assert!(images.get(3).is_none());
    }
}
