//! Random changes of training images, as torchvision defines them.
//!
//! Each change is a plain value with the settings of torchvision's class of the same name. It draws its parameters
//! in the same order and from the same distributions, but from a [`Stream`](crate::random::Stream) that the caller
//! gives, so that an image is changed in the same way whatever happens before and beside it.

mod color_jitter;
mod gaussian_blur;
mod grayscale;
mod hue;
mod random_resized_crop;

pub use color_jitter::{ColorAdjustment, ColorJitter};
pub use gaussian_blur::GaussianBlur;
pub use grayscale::grayscale;
pub use random_resized_crop::{CropBox, RandomResizedCrop};
