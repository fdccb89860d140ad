//! What can be wrong with an image folder, one variant per cause.
//!
//! Those of names, classes and domains come from [`scan`](super::scan), before any image is decoded.

use std::path::PathBuf;

use super::layout::Layout;
use crate::loader::StoreError;

/// Why an image folder could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// There is nothing at the path.
    #[error("no such folder: {}", path.display())]
    Missing {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path leads to something other than a folder.
    #[error("{} is not a folder; expected a folder of images ({LAYOUTS})", path.display())]
    NotAFolder {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A folder could not be listed, for example for want of permission.
    #[error("cannot list the folder {}: {source}", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A folder that should hold images or classes holds none.
    #[error("{} is empty: expected {expected} in it, other files or folders: {ignored}", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
        /// What should have been there: `images` or `class folders`.
        expected: &'static str,
        /// Entries that are there and of no use.
        ignored: usize,
    },
    /// The folder has none of the three layouts.
    #[error("{} has none of the known layouts: found {found}; expected {LAYOUTS}", root.display())]
    UnknownLayout {
        /// The folder.
        root: PathBuf,
        /// What it holds.
        found: String,
    },
    /// The folder could be read in more than one way.
    #[error("{} is ambiguous: {found}; remove what does not belong, or name the layout: {LAYOUTS}", root.display())]
    Ambiguous {
        /// The folder.
        root: PathBuf,
        /// What it holds, and why that is ambiguous.
        found: String,
    },
    /// The layout has domains, and the request names no domain to train on.
    #[error(
        "{} is laid out as domains ({}): say which train and which test with --train-domains and \
         --test-domains",
        root.display(), found.join(", ")
    )]
    DomainsNotGiven {
        /// The folder.
        root: PathBuf,
        /// Its domains, sorted.
        found: Vec<String>,
    },
    /// The request names domains, but the folder has `train` and `test` instead.
    #[error(
        "{} is laid out as {layout}, which has no domains: leave out --train-domains and --test-domains, \
         or name the layout `domains`",
        root.display()
    )]
    DomainsNotUsed {
        /// The folder.
        root: PathBuf,
        /// The layout that was found or asked for.
        layout: Layout,
    },
    /// A domain that the folder does not have.
    #[error("no domain `{domain}` in {}{}; it has {}", root.display(), did_you_mean(nearest), found.join(", "))]
    UnknownDomain {
        /// The folder.
        root: PathBuf,
        /// The domain that was asked for.
        domain: String,
        /// The existing domain with the most similar name, where one is similar.
        nearest: Option<String>,
        /// All existing domains, sorted.
        found: Vec<String>,
    },
    /// A domain named twice, in one list or in both.
    #[error(
        "domain `{domain}` is named twice in --train-domains and --test-domains; a domain trains or tests"
    )]
    RepeatedDomain {
        /// The domain.
        domain: String,
    },
    /// The share to hold out is not in `[0, 1)`.
    #[error("the held-out share of the training images must be at least 0 and below 1, not {hold_out}")]
    HoldOut {
        /// The share that was asked for.
        hold_out: f64,
    },
    /// A class without a single image.
    #[error("class `{class}` has no image: {} holds none (other files: {ignored})", path.display())]
    ClassWithoutImages {
        /// The class, as its folder is named.
        class: String,
        /// Its folder.
        path: PathBuf,
        /// Files in it that are not images.
        ignored: usize,
    },
    /// Two classes whose names differ only in case, underscores or spaces.
    #[error(
        "duplicate class: `{first}` and `{second}` differ only in case, underscores or spaces; merge or rename them"
    )]
    DuplicateClass {
        /// The name that sorts first.
        first: String,
        /// The other name.
        second: String,
    },
    /// A test image whose class has no training images.
    #[error(
        "label outside the classes: `{class}` ({}) is not among the training classes {}{}",
        path.display(), classes.join(", "), did_you_mean(nearest)
    )]
    LabelOutsideClasses {
        /// The label.
        class: String,
        /// One of its files.
        path: PathBuf,
        /// The training class with the most similar name, where one is similar.
        nearest: Option<String>,
        /// The training classes, sorted.
        classes: Vec<String>,
    },
    /// A folder or file whose name holds no usable class name.
    #[error("cannot read a class name from {}: {expected}", path.display())]
    ClassName {
        /// The folder or file.
        path: PathBuf,
        /// What was expected of its name.
        expected: &'static str,
    },
    /// The preprocessing makes no sense.
    #[error("the preprocessing of the images is wrong: {0}")]
    Preprocess(#[from] regulus_images::PreprocessError),
    /// There is no room for the decoded images.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No training image of a class could be decoded.
    #[error(
        "class `{class}` has no training image left: all {files} could not be decoded, first {path}: {reason}"
    )]
    ClassUndecodable {
        /// The class, as its folder or files are named.
        class: String,
        /// Number of its training files.
        files: usize,
        /// The first of them, relative to the folder.
        path: String,
        /// Why the first could not be decoded.
        reason: String,
    },
    /// No image of a test split could be decoded.
    #[error("split `{split}` has no image left: all {files} could not be decoded, first {path}: {reason}")]
    SplitUndecodable {
        /// The split.
        split: String,
        /// Number of its files.
        files: usize,
        /// The first of them, relative to the folder.
        path: String,
        /// Why the first could not be decoded.
        reason: String,
    },
}

/// The three layouts in one line, for messages.
const LAYOUTS: &str = "train/<class>/* with test/<class>/* (class-folders), train/<class>_<number>.<ext> with \
     test/<class>_<number>.<ext> (flat-files), or <domain>/<class>/* (domains)";

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// The name among `known` that is most similar to `wanted`, if any is similar at all.
pub(crate) fn nearest(wanted: &str, known: &[String]) -> Option<String> {
    let wanted = wanted.to_lowercase();
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(similarity, _)| *similarity > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.clone())
}
