//! Decodes a planned protocol into the images that methods train and are tested on. An image that cannot be decoded is left out and named; a class or a split that would be left empty is an
//! error.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regulus_images::Preprocess;
use serde::Serialize;
use thiserror::Error;

use super::ProtocolTask;
use crate::folders::{Skipped, SplitImages, reason};
use crate::listing::{ClassNames, Duplicate, ListedImages, Split, by_path};
use crate::loader::{SquareReader, SquareStore, StoreError};
use crate::{LabelledImages, Task, TestSplit};

/// Why planned images cannot be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProtocolLoadError {
    /// There is no room for the images.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No training image of a class can be decoded.
    #[error("no training image of the class `{class}` can be decoded{}", first(.skipped))]
    ClassUndecodable {
        /// The class.
        class: String,
        /// The first image that was skipped.
        skipped: Option<Skipped>,
    },
    /// No image of a test split can be decoded.
    #[error("no image of the split {split} can be decoded{}", first(.skipped))]
    SplitUndecodable {
        /// The split.
        split: String,
        /// The first image that was skipped.
        skipped: Option<Skipped>,
    },
}

fn first(skipped: &Option<Skipped>) -> String {
    skipped.as_ref().map_or_else(String::new, |Skipped { path, reason }| format!("; {path}: {reason}"))
}

/// How the loaded task is called, and how its classes are put into words.
#[derive(Debug, Clone, Copy)]
pub struct Wording<'a> {
    /// Name of the task.
    pub name: &'a str,
    /// Templates with `{}` for the class name.
    pub templates: &'a [String],
}

/// A protocol with its images in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedProtocol {
    /// Training and test images.
    pub task: Task,
    /// Validation images, over the classes of the training images; may be empty.
    pub validation: LabelledImages,
    /// The training images where they lie, in the order of `task.train`.
    pub originals: ListedImages,
    /// For each test split the index of each image's domain `[images]`; `None` where the data has no domains.
    pub domains: Vec<Option<Vec<usize>>>,
    /// What was used and what was skipped.
    pub report: ProtocolReport,
    /// Why images are not cached, if they should have been.
    pub notices: Vec<String>,
}

/// The account of what a protocol loaded. Its [`Display`](fmt::Display) is a few lines; all of it serialises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProtocolReport {
    /// The data set.
    pub dataset: String,
    /// The protocol.
    pub protocol: String,
    /// The sha256 of the list of training and validation images.
    pub sampled_sha256: String,
    /// Decoded images per split, `train` first.
    pub images: Vec<SplitImages>,
    /// Images that could not be decoded, by split and path.
    pub skipped: Vec<Skipped>,
    /// Images that are in two splits.
    pub duplicates: Vec<Duplicate>,
}

impl ProtocolTask {
    /// Every part with its name: `train`, `val` if there are such images, and the test splits.
    fn parts(&self) -> impl Iterator<Item = (&str, &ListedImages)> {
        let val = (!self.val.images.is_empty()).then_some(("val", &self.val));
        let tests = self.tests.iter().map(|test| (test.name.as_str(), &test.images));
        std::iter::once(("train", &self.train)).chain(val).chain(tests)
    }

    /// Images of the training folder that are in two parts.
    fn duplicates(&self) -> Vec<Duplicate> {
        let ours = self.parts().filter(|(_, listed)| listed.root == self.train.root);
        let splits: Vec<Split> = ours
            .map(|(name, listed)| Split { name: name.to_owned(), images: listed.images.clone() })
            .collect();
        by_path(&splits)
    }

    /// Decodes and preprocesses every image, on the current rayon pool, into `[preprocess.crop, preprocess.crop, 3]`
    /// bytes, which are kept where `store` says. `progress` is called from the decoding threads with the number of images done and their total.
    ///
    /// # Errors
    /// [`ProtocolLoadError::Store`] before anything is decoded; the others where nothing is left of a class
    /// or of a test split.
    pub fn load(
        &self,
        wording: Wording<'_>,
        preprocess: &Preprocess,
        store: &SquareStore,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<LoadedProtocol, ProtocolLoadError> {
        let total = self.parts().map(|(_, listed)| listed.images.len()).sum();
        let done = AtomicUsize::new(0);
        let tick = |more| progress((done.fetch_add(more, Ordering::Relaxed) + more).min(total), total);
        let mut reader = SquareReader::new(store, wording.name, total, preprocess, &tick)?;
        let mut report = ProtocolReport {
            dataset: self.sampled.dataset.clone(),
            protocol: self.sampled.protocol.clone(),
            sampled_sha256: self.sampled.sha256(),
            images: Vec::new(),
            skipped: Vec::new(),
            duplicates: self.duplicates(),
        };
        let mut decode = |name: &str, listed: &ListedImages, classes: &ClassNames| {
            let (images, kept, skipped) = decoded(name, listed, &mut reader)?;
            report.images.push(SplitImages::count(name, &images.labels, classes.len()));
            report.skipped.extend(skipped.iter().cloned());
            Ok::<_, ProtocolLoadError>((images, kept, skipped.into_iter().next()))
        };
        let (train, kept, skipped) = decode("train", &self.train, &self.classes)?;
        let before = self.train.images.per_class(self.classes.len());
        let after = ListedImages { images: self.train.images.pick(&kept), ..self.train.clone() };
        let left = after.images.per_class(self.classes.len());
        if let Some(lost) = before.iter().zip(&left).position(|(&before, &left)| before > 0 && left == 0) {
            let class = self.classes.names.get(lost).cloned().unwrap_or_default();
            return Err(ProtocolLoadError::ClassUndecodable { class, skipped });
        }
        let (validation, ..) = decode("val", &self.val, &self.classes)?;
        let (mut tests, mut domains) = (Vec::new(), Vec::new());
        for test in &self.tests {
            let (images, kept, skipped) = decode(&test.name, &test.images, &test.classes)?;
            if images.is_empty() {
                return Err(ProtocolLoadError::SplitUndecodable { split: test.name.clone(), skipped });
            }
            let of = kept.iter().map(|&index| test.images.images.get(index)?.domain);
            domains.push(of.collect::<Option<Vec<usize>>>());
            tests.push(match test.classes == self.classes {
                true => TestSplit::new(&test.name, images),
                false => TestSplit::with_classes(&test.name, images, test.classes.for_prompts()),
            });
        }
        report.images.retain(|split| split.images > 0);
        let task = Task {
            name: wording.name.to_owned(),
            class_names: self.classes.for_prompts(),
            templates: wording.templates.to_vec(),
            train,
            tests,
        };
        let notices = reader.notices;
        Ok(LoadedProtocol { task, validation, originals: after, domains, report, notices })
    }
}

/// The images that can be decoded, their indices in the list, and the others.
fn decoded(
    name: &str,
    listed: &ListedImages,
    reader: &mut SquareReader<'_>,
) -> Result<(LabelledImages, Vec<usize>, Vec<Skipped>), StoreError> {
    let read = reader.read(name, Arc::new(listed.clone()))?;
    let skipped = read.faults.iter().filter_map(|fault| {
        let path = listed.images.get(fault.index)?.shown();
        Some(Skipped { path, reason: reason(fault) })
    });
    let skipped = skipped.collect();
    let labels = read.kept.iter().filter_map(|&index| Some(listed.images.get(index)?.label)).collect();
    Ok((LabelledImages { side: reader.side(), pixels: read.squares, labels }, read.kept, skipped))
}

impl fmt::Display for ProtocolReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 10;
        let splits: Vec<String> = self.images.iter().map(|s| format!("{} {}", s.split, s.images)).collect();
        write!(f, "{}, {}; images: {}", self.dataset, self.protocol, splits.join(", "))?;
        let digest = self.sampled_sha256.get(..12).unwrap_or_default();
        write!(f, "\nsampled list {digest}... (shots.txt of the run)")?;
        if !self.skipped.is_empty() {
            write!(f, "\nskipped, undecodable: {}", self.skipped.len())?;
        }
        for Skipped { path, reason } in self.skipped.iter().take(NAMED) {
            write!(f, "\n  {path}: {reason}")?;
        }
        if !self.duplicates.is_empty() {
            write!(f, "\nin two splits: {}", self.duplicates.len())?;
        }
        self.duplicates.iter().take(NAMED).try_for_each(|duplicate| write!(f, "\n  {duplicate}"))
    }
}
