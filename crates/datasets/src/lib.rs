//! Data sets as plain arrays: the built-in world, and folders of images.

pub mod folders;
mod labelled;
mod originals;
mod subset;
mod task;
pub mod world;

pub use labelled::{LabelledImages, LabelledImagesError};
pub use originals::{ImageFiles, Originals};
pub use subset::{Subset, SubsetError, long_tailed_counts};
pub use task::{Task, TestSplit, prompt};
