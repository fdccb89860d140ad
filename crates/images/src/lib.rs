#![doc = include_str!("../README.md")]

mod decode;
mod jpeg_markers;
mod oddity;
mod png;
mod preprocess;
mod resize;
mod rgb_image;
mod rgb_samples;

pub mod random;

pub use decode::{DecodeError, Decoded, FileError, MAX_FILE_BYTES, MAX_PIXELS, decode, decode_file};
pub use oddity::Oddity;
pub use png::{EncodeError, encode_png};
pub use preprocess::{Preprocess, PreprocessError};
pub use resize::{Filter, resize};
pub use rgb_image::{RgbImage, ShapeError, center_crop, crop, flip_horizontal};
