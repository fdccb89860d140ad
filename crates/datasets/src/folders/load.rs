//! Decodes the files of a listing into the squares that a model sees. A file that cannot be decoded is left out and
//! named in the report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regulus_images::Preprocess;

use super::error::FolderError;
use super::listing::{FolderListing, ListedFile, ListedSplit};
use super::report::{FolderReport, Skipped, SplitImages};
use crate::loader::{ImageFault, SquareReader, SquareStore};
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
    /// Why images are not cached, if they should have been.
    pub notices: Vec<String>,
}

/// Decodes and preprocesses every image of `listing`, on the current rayon pool.
///
/// Images become `[preprocess.crop, preprocess.crop, 3]` bytes, in the order of the listing; undecodable files are left out.
/// `store` says where they are kept. `progress` is called from the decoding threads with the number of files done and
/// their total. The task is named after the folder, its only template is `a photo of a {}.`.
///
/// # Errors
/// [`FolderError::Preprocess`] and [`FolderError::Store`] before anything is decoded; [`FolderError::ClassUndecodable`] and
/// [`FolderError::SplitUndecodable`] where skipping leaves nothing of a class or test split.
pub fn load(
    listing: &FolderListing,
    preprocess: &Preprocess,
    store: &SquareStore,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<LoadedFolder, FolderError> {
    preprocess.check()?;
    let total = listing.splits().map(|split| split.files.len()).sum();
    let done = AtomicUsize::new(0);
    let tick = |more| progress((done.fetch_add(more, Ordering::Relaxed) + more).min(total), total);
    let name = folder_name(listing);
    let mut reader = SquareReader::new(store, &name, total, preprocess, &tick)?;
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
    let (train, originals) = load_split(&listing.train, &mut reader, &mut report)?;
    check_classes(listing, &train, &report)?;
    let mut tests = Vec::with_capacity(listing.tests.len());
    for split in &listing.tests {
        let skipped_before = report.skipped.len();
        let (images, _) = load_split(split, &mut reader, &mut report)?;
        if let (true, Some(first)) = (images.is_empty(), report.skipped.get(skipped_before)) {
            let (split, files) = (split.name.clone(), split.files.len());
            let Skipped { path, reason } = first.clone();
            return Err(FolderError::SplitUndecodable { split, files, path, reason });
        }
        tests.push(TestSplit::new(&split.name, images));
    }
    let class_names = listing.classes.iter().map(|class| class.prompt.clone()).collect();
    let notices = reader.notices;
    let task = Task { name, class_names, templates: vec![TEMPLATE.to_owned()], train, tests };
    Ok(LoadedFolder { task, originals, report, notices })
}

/// The images of a split, and the files that they are from.
fn load_split(
    split: &ListedSplit,
    reader: &mut SquareReader<'_>,
    report: &mut FolderReport,
) -> Result<(LabelledImages, ImageFiles), FolderError> {
    let files = split.files.iter().map(|file| file.path.clone()).collect();
    let read = reader.read(&split.name, Arc::new(ImageFiles(files)))?;
    for (oddity, count) in read.oddities {
        *report.oddities.entry(oddity).or_default() += count;
    }
    report.skipped.extend(read.faults.iter().filter_map(|fault| {
        let path = split.files.get(fault.index)?.shown();
        Some(Skipped { path, reason: reason(fault) })
    }));
    let kept = || read.kept.iter().filter_map(|&index| split.files.get(index));
    let labels: Vec<usize> = kept().map(|file| file.label).collect();
    report.images.push(SplitImages::count(&split.name, &labels, report.classes.len()));
    let paths = kept().map(|file| file.path.clone()).collect();
    Ok((LabelledImages { side: reader.side(), pixels: read.squares, labels }, ImageFiles(paths)))
}

/// Why an image was skipped, on one line: messages of decoders may hold line breaks, which would tear a report apart.
pub(crate) fn reason(fault: &ImageFault) -> String {
    fault.cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
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
