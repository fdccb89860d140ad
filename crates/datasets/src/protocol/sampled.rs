//! The chosen images of a run as a text file: it is stored with the run, its hash is part of the run's identity, and
//! another program's choice can be imported by writing it down in this form.
//!
//! ```text
//! regulus sampled list 1
//! dataset    oxford_pets
//! protocol   few-shot:1
//! seed       1
//! classes    (the sha256 of the class names)
//! train      0    images/Abyssinian_12.jpg
//! val        0    images/Abyssinian_99.jpg
//! ```
//!
//! Fields are separated by single tabs. An image has its split, its label in the data set, its path relative to the
//! folder of the data set (bytes that are not UTF-8, control characters and `%` as `%XX`) and, inside an archive, the
//! byte at which its pixels start. The order of the lines is that of the images.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::plan::Choice;
use crate::listing::{DatasetListing, ImageRef, Images, hex, shown, unshown};

const FIRST_LINE: &str = "regulus sampled list 1";

/// Longest list, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// The training and validation images of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampledList {
    /// Name of the data set.
    pub dataset: String,
    /// The protocol that chose, or what else did.
    pub protocol: String,
    /// The seed that it chose by.
    pub seed: u64,
    /// Digest of the class names that labels refer to.
    pub classes: String,
    /// The training images, in order.
    pub train: Vec<SampledImage>,
    /// The validation images, in order.
    pub val: Vec<SampledImage>,
}

/// One image of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampledImage {
    /// Its label in the data set.
    pub label: usize,
    /// The bytes of its path, relative to the folder of the data set, with `/` between its parts.
    pub path: Vec<u8>,
    /// Where its pixels start, in an archive.
    pub offset: Option<u64>,
}

/// What is wrong with a list.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SampledListError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line that does not have the form that it should have.
    #[error("line {line}: expected {expected}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// A list of another data set, or of other class names.
    #[error("it is of {found}, not of {expected}")]
    OtherDataset {
        /// The data set or the digest of class names of the list.
        found: String,
        /// Those of the data set at hand.
        expected: String,
    },
    /// An image that the data set does not list.
    #[error("{path} is not an image of the data set")]
    NotListed {
        /// The image.
        path: String,
    },
    /// An image that the data set lists under another label.
    #[error("{path} has label {found}, and label {expected} in the data set")]
    OtherLabel {
        /// The image.
        path: String,
        /// Its label in the list.
        found: usize,
        /// Its label in the data set.
        expected: usize,
    },
}

impl SampledList {
    pub(super) fn of(source: &DatasetListing, protocol: &str, seed: u64, choice: &Choice) -> Self {
        let sampled = |images: &Images| images.iter().map(SampledImage::of).collect();
        Self {
            dataset: source.name.clone(),
            protocol: protocol.to_owned(),
            seed,
            classes: source.classes.digest(),
            train: sampled(&choice.train),
            val: sampled(&choice.val),
        }
    }

    /// The text form.
    pub fn text(&self) -> String {
        self.lines().collect()
    }

    /// The lines of the text form with their ends.
    fn lines(&self) -> impl Iterator<Item = String> {
        let head = format!(
            "{FIRST_LINE}\ndataset\t{}\nprotocol\t{}\nseed\t{}\nclasses\t{}\n",
            shown(self.dataset.as_bytes()),
            shown(self.protocol.as_bytes()),
            self.seed,
            self.classes
        );
        let train = self.train.iter().map(|image| image.line("train"));
        let val = self.val.iter().map(|image| image.line("val"));
        std::iter::once(head).chain(train).chain(val)
    }

    /// The sha256 of the text form, in hex.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        self.lines().for_each(|line| hash.update(line.as_bytes()));
        hex(hash)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`SampledListError::Unreadable`], and those of [`parse`](Self::parse).
    pub fn read(path: &Path) -> Result<Self, SampledListError> {
        use std::io::Read;
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
            .map_err(|source| SampledListError::Unreadable { path: path.display().to_string(), source })?;
        Self::parse(&text)
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`SampledListError::Malformed`] with the line.
    pub fn parse(text: &str) -> Result<Self, SampledListError> {
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let malformed = |line, expected| SampledListError::Malformed { line, expected };
        if lines.next().is_none_or(|(_, line)| line != FIRST_LINE) {
            return Err(malformed(1, "`regulus sampled list 1`"));
        }
        let mut header = |name: &'static str, expected: &'static str| {
            let (number, line) = lines.next().ok_or(malformed(1, expected))?;
            let value = line.split_once('\t').filter(|(found, _)| *found == name).map(|(_, value)| value);
            value.map(|value| (number, value)).ok_or(malformed(number, expected))
        };
        let name = |(number, value): (usize, &str), expected| {
            unshown(value).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(malformed(number, expected))
        };
        let dataset = name(header("dataset", "`dataset` and a name")?, "a name in UTF-8")?;
        let protocol = name(header("protocol", "`protocol` and a name")?, "a name in UTF-8")?;
        let (number, seed) = header("seed", "`seed` and a number")?;
        let seed = seed.parse().map_err(|_| malformed(number, "`seed` and a number"))?;
        let (_, classes) = header("classes", "`classes` and a digest")?;
        let mut list =
            Self { dataset, protocol, seed, classes: classes.to_owned(), train: Vec::new(), val: Vec::new() };
        for (number, line) in lines {
            let expected =
                "`train` or `val`, a label, a path and, in an archive, a position, with tabs between";
            let fields: Vec<&str> = line.splitn(5, '\t').collect();
            let (split, label, path, offset) = match fields[..] {
                [split, label, path] => (split, label, path, None),
                [split, label, path, offset] => (split, label, path, Some(offset)),
                _ => return Err(malformed(number, expected)),
            };
            let offset = offset.map(|offset| offset.parse().map_err(|_| malformed(number, expected)));
            let image = SampledImage {
                label: label.parse().map_err(|_| malformed(number, expected))?,
                path: unshown(path).ok_or(malformed(number, expected))?,
                offset: offset.transpose()?,
            };
            match split {
                "train" => list.train.push(image),
                "val" => list.val.push(image),
                _ => return Err(malformed(number, expected)),
            }
        }
        Ok(list)
    }

    /// The images of the list in a data set.
    pub(super) fn find(&self, source: &DatasetListing) -> Result<Choice, SampledListError> {
        let other = |found: &str, expected: String| SampledListError::OtherDataset {
            found: found.to_owned(),
            expected,
        };
        if self.dataset != source.name {
            return Err(other(&self.dataset, source.name.clone()));
        }
        let digest = source.classes.digest();
        if self.classes != digest {
            return Err(other(&format!("class names {}", self.classes), format!("class names {digest}")));
        }
        let wanted = self.train.iter().chain(&self.val).map(|image| (image.path.as_slice(), image.offset));
        let mut found: HashMap<(&[u8], Option<u64>), Option<ImageRef<'_>>> =
            wanted.map(|image| (image, None)).collect();
        for image in source.splits.iter().flat_map(|split| split.images.iter()) {
            if let Some(place) = found.get_mut(&(image.path_bytes(), image.offset)) {
                *place = Some(image);
            }
        }
        let pick = |sampled: &[SampledImage]| {
            let mut images = Images::default();
            for image in sampled {
                let path = || shown(&image.path);
                let place = found.get(&(image.path.as_slice(), image.offset)).copied().flatten();
                let Some(listed) = place else { return Err(SampledListError::NotListed { path: path() }) };
                if listed.label != image.label {
                    let (found, expected) = (image.label, listed.label);
                    return Err(SampledListError::OtherLabel { path: path(), found, expected });
                }
                images.append(listed, listed.label);
            }
            Ok(images)
        };
        Ok(Choice { train: pick(&self.train)?, val: pick(&self.val)? })
    }
}

impl SampledImage {
    fn line(&self, split: &str) -> String {
        let offset = self.offset.map(|offset| format!("\t{offset}")).unwrap_or_default();
        format!("{split}\t{}\t{}{offset}\n", self.label, shown(&self.path))
    }

    fn of(image: ImageRef<'_>) -> Self {
        Self { label: image.label, path: image.path_bytes().to_vec(), offset: image.offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image() -> impl Strategy<Value = SampledImage> {
        (0usize..2000, prop::collection::vec(any::<u8>(), 0..20), prop::option::of(any::<u64>()))
            .prop_map(|(label, path, offset)| SampledImage { label, path, offset })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            dataset in "\\PC{0,9}", seed: u64,
            train in prop::collection::vec(image(), 0..5), val in prop::collection::vec(image(), 0..5),
        ) {
            let protocol = "few-shot:16".to_owned();
            let list = SampledList { dataset, protocol, seed, classes: "0a".to_owned(), train, val };
            prop_assert_eq!(SampledList::parse(&list.text()).unwrap(), list);
        }

        #[test]
        fn any_text_is_a_list_or_an_error(text in "(regulus sampled list 1\n)?(dataset\ta\nprotocol\tb\nseed\t1\nclasses\tc\n)?[a-z0-9%\t\n]{0,80}") {
            let _ = SampledList::parse(&text);
        }
    }
}
