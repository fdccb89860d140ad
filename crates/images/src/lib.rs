#![doc = include_str!("../README.md")]

mod decode;
mod jpeg_markers;
mod native;
mod oddity;
mod png;
mod preprocess;
mod resize;
mod rgb_image;

pub mod augment;
pub mod random;

pub use decode::{
    DecodeError, DecodeOptions, Decoded, FileError, MAX_FILE_BYTES, MAX_PIXELS, SixteenBitGray, decode,
    decode_file, decode_native, decode_with, dimensions, read_file,
};
pub use native::NativeImage;
pub use oddity::Oddity;
pub use png::{EncodeError, encode_png};
pub use preprocess::{Preprocess, PreprocessError};
pub use resize::{Filter, PassOrder, resize, resize_in_order};
pub use rgb_image::{RgbImage, ShapeError, center_crop, crop, flip_horizontal};
