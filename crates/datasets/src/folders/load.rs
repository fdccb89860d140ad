//! Decodes the files of a listing, in parallel, into the squares that a model sees.
//!
//! Every image has its place in the array before decoding starts, so the result does not depend on
//! the number of threads. A file that cannot be decoded is left out and named in the report.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use regulus_images::{Oddity, Preprocess, decode_file};

use super::error::FolderError;
use super::listing::{FolderListing, ListedFile, ListedSplit};
use super::report::{FolderReport, Skipped, SplitImages};
use crate::{ImageFiles, LabelledImages, Task, TestSplit};

/// The template of a task read from a folder; callers that know the pictures better replace it.
const TEMPLATE: &str = "a photo of a {}.";

/// What [`load`] makes of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedFolder {
    /// The images as a model sees them.
    pub task: Task,
    /// The files of `task.train`, in its order.
    pub originals: ImageFiles,
    /// What was used and what was skipped.
    pub report: FolderReport,
}

/// Decodes and preprocesses every image of `listing`, on the current rayon pool.
///
/// Images become `[preprocess.crop, preprocess.crop, 3]` bytes, in the order of the listing;
/// undecodable files are left out. `memory_budget` limits the bytes of all splits together; while
/// decoding, each thread holds one image at its original size besides. `progress` is called from the
/// decoding threads after every file, with the number of files done and their total.
/// The task is named after the folder, its only template is `a photo of a {}.`.
///
/// # Errors
/// [`FolderError::Preprocess`] and [`FolderError::OverMemoryBudget`] before anything is decoded; [`FolderError::ClassUndecodable`] and
/// [`FolderError::SplitUndecodable`] where skipping leaves nothing of a class or test split.
pub fn load(
    listing: &FolderListing,
    preprocess: &Preprocess,
    memory_budget: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<LoadedFolder, FolderError> {
    preprocess.check()?;
    listing.check_memory(preprocess.crop, memory_budget)?;
    let total = listing.splits().map(|split| split.files.len()).sum();
    let done = AtomicUsize::new(0);
    let tick = || progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
    let mut report = FolderReport {
        layout: listing.layout,
        classes: listing.classes.clone(),
        images: Vec::new(),
        skipped: Vec::new(),
        oddities: BTreeMap::new(),
        ignored: listing.ignored,
        unused_folders: listing.unused_folders.clone(),
        fingerprint: listing.fingerprint(),
    };
    let (train, originals) = load_split(&listing.train, preprocess, &tick, &mut report);
    check_classes(listing, &train, &report)?;
    let mut tests = Vec::with_capacity(listing.tests.len());
    for split in &listing.tests {
        let skipped_before = report.skipped.len();
        let (images, _) = load_split(split, preprocess, &tick, &mut report);
        if let (true, Some(first)) = (images.is_empty(), report.skipped.get(skipped_before)) {
            let (split, files) = (split.name.clone(), split.files.len());
            let Skipped { path, reason } = first.clone();
            return Err(FolderError::SplitUndecodable { split, files, path, reason });
        }
        tests.push(TestSplit::new(&split.name, images));
    }
    let class_names = listing.classes.iter().map(|class| class.prompt.clone()).collect();
    let task =
        Task { name: folder_name(listing), class_names, templates: vec![TEMPLATE.to_owned()], train, tests };
    Ok(LoadedFolder { task, originals, report })
}

/// The images of a split, and the files that they are from.
fn load_split(
    split: &ListedSplit,
    preprocess: &Preprocess,
    tick: &(dyn Fn() + Sync),
    report: &mut FolderReport,
) -> (LabelledImages, ImageFiles) {
    let side = preprocess.crop;
    let bytes = side * side * 3;
    let mut pixels = vec![0; split.files.len() * bytes];
    let outcomes: Vec<Result<Vec<Oddity>, String>> = pixels
        .par_chunks_exact_mut(bytes)
        .zip(&split.files)
        .map(|(square, file)| {
            let outcome = load_file(file, preprocess, square);
            tick();
            outcome
        })
        .collect();
    let mut labels = Vec::with_capacity(split.files.len());
    let mut paths = Vec::with_capacity(split.files.len());
    for (index, (file, outcome)) in split.files.iter().zip(outcomes).enumerate() {
        match outcome {
            Ok(oddities) => {
                pixels.copy_within(index * bytes..(index + 1) * bytes, labels.len() * bytes);
                labels.push(file.label);
                paths.push(file.path.clone());
                oddities.into_iter().for_each(|oddity| *report.oddities.entry(oddity).or_default() += 1);
            }
            Err(reason) => report.skipped.push(Skipped { path: file.shown(), reason }),
        }
    }
    pixels.truncate(labels.len() * bytes);
    report.images.push(SplitImages::count(&split.name, &labels, report.classes.len()));
    (LabelledImages { side, pixels, labels }, ImageFiles(paths))
}

/// Fills `square` `[crop, crop, 3]`, or says why the file cannot be used.
fn load_file(file: &ListedFile, preprocess: &Preprocess, square: &mut [u8]) -> Result<Vec<Oddity>, String> {
    let decoded = decode_file(&file.path).map_err(|error| on_one_line(&error.cause.to_string()))?;
    square.copy_from_slice(&preprocess.square(&decoded.image).pixels);
    Ok(decoded.oddities)
}

/// Messages of decoders may hold line breaks, which would tear a report apart.
fn on_one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn check_classes(
    listing: &FolderListing,
    train: &LabelledImages,
    report: &FolderReport,
) -> Result<(), FolderError> {
    let mut left = vec![0usize; listing.classes.len()];
    train.labels.iter().for_each(|&label| left[label] += 1);
    let Some(lost) = left.iter().position(|&count| count == 0) else { return Ok(()) };
    let files: Vec<String> =
        listing.train.files.iter().filter(|file| file.label == lost).map(ListedFile::shown).collect();
    let first = report.skipped.iter().find(|skipped| files.contains(&skipped.path));
    let Skipped { path, reason } = first.cloned().unwrap_or_default();
    let class = listing.classes[lost].raw.clone();
    Err(FolderError::ClassUndecodable { class, files: files.len(), path, reason })
}

/// The last part of the folder's path, also where it was given as `.` or `..`.
fn folder_name(listing: &FolderListing) -> String {
    let whole = listing.root.canonicalize().unwrap_or_else(|_| listing.root.clone());
    whole.file_name().map_or_else(|| "folder".to_owned(), |name| name.to_string_lossy().into_owned())
}
