//! Random changes of training images, as torchvision defines them.
//!
//! Each change is a plain value with the settings of torchvision's class of the same name. It draws its parameters
//! in the same order and from the same distributions, but from a [`Stream`](crate::random::Stream) that the caller
//! gives, so that an image is changed in the same way whatever happens before and beside it.

mod random_resized_crop;

pub use random_resized_crop::{CropBox, RandomResizedCrop};
