//! Data sets: the built-in world and folders of images as plain arrays; published data sets and manifests as lists of
//! files, with their published splits, few-shot samples and protocols.

pub mod dassl;
pub mod folders;
mod labelled;
mod lines;
pub mod listing;
pub mod loader;
pub mod manifest;
pub mod protocol;
pub mod published;
mod squares;
mod subset;
mod task;
pub mod world;

pub use labelled::{LabelledImages, LabelledImagesError};
pub use loader::{ImageFiles, Source};
pub use squares::Squares;
pub use subset::{Subset, SubsetError, long_tailed_counts};
pub use task::{Task, TestSplit, prompt};
