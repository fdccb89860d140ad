//! Published data sets by name, read from the layouts that their communities use.
//!
//! [`list`] tells what is known, [`check`] what of it is on this disk and how to get the rest, and [`read`] lists the
//! images with their published splits. The folder that is given is that of all data sets, as CoOp's `DATASETS.md` lays
//! it out, or the folder of the data set itself.
//!
//! ```no_run
//! use regulus_datasets::published;
//!
//! println!("{}", published::check("oxford_pets", "data".as_ref())?);
//! let pets = published::read("oxford_pets", "data".as_ref())?;
//! assert_eq!(pets.classes.len(), 37);
//! # Ok::<(), published::PublishedError>(())
//! ```
//!
//! Lists of folders are sorted by name. Dassl takes the order in which the operating system returns the names, so that
//! few-shot choices from folders (ImageNet) are its own only where that order is sorted. Choices from split files and
//! list files are Dassl's everywhere.

mod check;
mod cifar;
mod dataset;
mod image_folder;
mod read;
mod registry;

use std::path::Path;

use thiserror::Error;

use crate::folders::nearest;
use crate::listing::{DatasetListing, ListingError};

pub use check::{CheckOptions, CheckReport, ClassCheck, Count, CountCheck, MissingPart, SplitCheck};
pub use dataset::{Part, PublishedClasses, PublishedDataset, PublishedLayout, PublishedSplit, Template};
pub use image_folder::read_image_folder;

/// Why a published data set could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishedError {
    /// There is no such data set in the registry.
    #[error("no data set is called `{name}`{}; known are {}", did_you_mean(nearest), known.join(", "))]
    UnknownDataset {
        /// The name that was asked for.
        name: String,
        /// The known name that is most similar to it, where one is similar.
        nearest: Option<String>,
        /// All known names.
        known: Vec<String>,
    },
    /// It could not be listed.
    #[error(transparent)]
    Listing(#[from] ListingError),
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// Every known data set.
pub fn list() -> impl Iterator<Item = &'static PublishedDataset> {
    registry::all()
}

/// The data set called `name`.
///
/// # Errors
/// [`PublishedError::UnknownDataset`].
pub fn find(name: &str) -> Result<&'static PublishedDataset, PublishedError> {
    list().find(|dataset| dataset.name == name).ok_or_else(|| {
        let known: Vec<String> = list().map(|dataset| dataset.name.to_owned()).collect();
        PublishedError::UnknownDataset { name: name.to_owned(), nearest: nearest(name, &known), known }
    })
}

/// Lists the images of the data set `name`. `root` is the folder of all data sets, or that of this one.
///
/// Nothing is decoded, and whether files that a list names are there is not looked at: see
/// [`DatasetListing::require_files`].
///
/// # Errors
/// [`PublishedError::UnknownDataset`], and every [`ListingError`] but missing images.
pub fn read(name: &str, root: &Path) -> Result<DatasetListing, PublishedError> {
    Ok(read::read(find(name)?, root)?)
}

/// What of the data set `name` is at `root`, what is missing and how to get it, and whether its sizes are the
/// published ones.
///
/// # Errors
/// [`PublishedError::UnknownDataset`]. Whatever is wrong with the data set itself is in the report.
pub fn check(name: &str, root: &Path) -> Result<CheckReport, PublishedError> {
    check_with(name, root, CheckOptions::default())
}

/// [`check`] with options.
///
/// # Errors
/// As [`check`].
pub fn check_with(name: &str, root: &Path, options: CheckOptions) -> Result<CheckReport, PublishedError> {
    Ok(check::check(find(name)?, root, options))
}
