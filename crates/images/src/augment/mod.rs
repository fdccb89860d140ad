//! Random changes of training images, as torchvision and the published codes define them.
//!
//! Each change is a plain value with the settings of its original. It draws its parameters from the same distributions,
//! but from a [`Stream`](crate::random::Stream) that the caller gives, so that an image is changed in the same way
//! whatever happens before and beside it.

mod padded_crop;
mod rand_augment;
mod random_resized_crop;

pub use padded_crop::PaddedCrop;
pub use rand_augment::{Operation, RandAugment};
pub use random_resized_crop::{CropBox, RandomResizedCrop};
