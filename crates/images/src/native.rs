//! An image in the colour mode of its file. OpenAI's CLIP resizes an image as it is stored and converts
//! the result to RGB; Hugging Face and Dassl convert first. For RGB and grey images that is the same,
//! for the other modes it is not.

mod alpha;
mod cmyk;

use crate::resize::{Window, resize_bytes, resize_gray16, resize_nearest};
use crate::rgb_image::check_shape;
use crate::{RgbImage, ShapeError};

/// A decoded image before the conversion to RGB; what PIL's `Image.open` gives. See
/// [`Preprocess::square_native`](crate::Preprocess::square_native).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeImage {
    width: usize,
    height: usize,
    samples: Samples,
}

/// The pixels, row by row from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Samples {
    /// Red, green and blue, equal in grey images. PIL's modes `RGB` and `L`.
    Rgb(Vec<u8>),
    /// Red, green and blue of images with a palette or 1 bit per pixel, whose pixels PIL does not mix.
    /// Its modes `P` and `1`.
    Indexed(Vec<u8>),
    /// Red, green, blue and opacity. PIL's modes `RGBA` and `LA`.
    Rgba(Vec<u8>),
    /// Cyan, magenta, yellow and black ink; 0 is none. PIL's mode `CMYK`.
    Cmyk(Vec<u8>),
    /// 16-bit grey, cut at 255 by the conversion to RGB. PIL's mode `I;16`.
    Gray16(Vec<u16>),
}

impl NativeImage {
    /// An image from its size (width, height) and the samples, which must fit it.
    pub(crate) fn new((width, height): (usize, usize), samples: Samples) -> Result<Self, ShapeError> {
        let (length, channels) = match &samples {
            Samples::Rgb(bytes) | Samples::Indexed(bytes) => (bytes.len(), 3),
            Samples::Rgba(bytes) | Samples::Cmyk(bytes) => (bytes.len(), 4),
            Samples::Gray16(values) => (values.len(), 1),
        };
        check_shape(width, height, channels, length)?;
        Ok(Self { width, height, samples })
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The image as PIL's `convert("RGB")` gives it.
    pub fn into_rgb(self) -> RgbImage {
        let pixels = match self.samples {
            Samples::Rgb(pixels) | Samples::Indexed(pixels) => pixels,
            Samples::Rgba(pixels) => alpha::dropped(&pixels),
            Samples::Cmyk(inks) => cmyk::to_rgb(&inks),
            Samples::Gray16(values) => clipped(&values),
        };
        RgbImage { width: self.width, height: self.height, pixels }
    }

    /// The window of the image, resized in its own mode and then converted to RGB.
    pub(crate) fn resized(&self, window: &Window) -> RgbImage {
        let from = (self.width, self.height);
        let pixels = match &self.samples {
            Samples::Rgb(pixels) => resize_bytes::<3>(pixels, from, window),
            Samples::Indexed(pixels) => resize_nearest(pixels, from, window),
            Samples::Rgba(pixels) if window.size == from => {
                alpha::dropped(&resize_bytes::<4>(pixels, from, window))
            }
            Samples::Rgba(pixels) => {
                let resized = resize_bytes::<4>(&alpha::premultiplied(pixels), from, window);
                alpha::dropped(&alpha::divided(&resized))
            }
            Samples::Cmyk(inks) => cmyk::to_rgb(&resize_bytes::<4>(inks, from, window)),
            Samples::Gray16(values) => clipped(&resize_gray16(values, from, window)),
        };
        RgbImage { width: window.columns.len(), height: window.rows.len(), pixels }
    }
}

impl From<RgbImage> for NativeImage {
    /// The image in mode RGB: converted before it is resized.
    fn from(image: RgbImage) -> Self {
        Self { width: image.width, height: image.height, samples: Samples::Rgb(image.pixels) }
    }
}

/// 16-bit grey as RGB, values above 255 white.
fn clipped(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|&value| [value.min(255) as u8; 3]).collect()
}
