//! Image folders on disk, read into a [`Task`](crate::Task).
//!
//! People keep labelled photographs in a handful of folder layouts, and collections found in the
//! wild hold stray files, broken images and half-extracted classes. This module says what it found
//! before it decodes anything: [`scan`] lists and checks the files, [`load`] decodes them in parallel
//! and reports what was skipped. The three layouts are those of [`Layout`].
//!
//! ```no_run
//! use regulus_datasets::folders::{FolderRequest, load, scan};
//! use regulus_datasets::loader::SquareStore;
//! use regulus_images::Preprocess;
//!
//! # fn main() -> Result<(), regulus_datasets::folders::FolderError> {
//! let listing = scan(&FolderRequest::new("photographs"))?;
//! let loaded = load(&listing, &Preprocess::clip(224), &SquareStore::default(), &|_, _| {})?;
//! println!("{}: {}", loaded.task.name, loaded.report);
//! # Ok(())
//! # }
//! ```

mod classes;
mod entries;
mod error;
mod images;
mod layout;
mod listing;
mod load;
mod report;
mod scan;
mod split;

pub use classes::ClassName;
pub(crate) use classes::of_flat_file as class_of_flat_file;
pub(crate) use entries::{is_hidden, is_image};
pub use error::FolderError;
pub(crate) use error::nearest;
pub use images::images_below;
pub use layout::Layout;
pub use listing::{FolderListing, ListedFile, ListedSplit};
pub(crate) use load::reason;
pub use load::{LoadedFolder, load};
pub use report::{FolderReport, Skipped, SplitImages};
pub use scan::{FolderRequest, scan};
pub(crate) use split::held_out;

#[cfg(test)]
mod tests;
