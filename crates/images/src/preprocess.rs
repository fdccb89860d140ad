//! The way from a picture to a model's input. It belongs to the model: the same weights measured
//! with other constants give other numbers, so it is stored with them and never passed by hand.

use crate::resize::{Window, resize_bytes};
use crate::rgb_image::CenteredSpan;
use crate::{Filter, NativeImage, PassOrder, RgbImage, center_crop};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Resize, centre crop and normalisation, in the order of `torchvision.transforms` as OpenAI's CLIP
/// composes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Length in pixels that the short side is resized to; the long side follows, rounded down.
    pub resize: usize,
    /// Side in pixels of the square that is cut from the middle.
    pub crop: usize,
    /// Filter of the resize.
    pub filter: Filter,
    /// Subtracted from the red, green and blue values, which lie in `[0, 1]`.
    pub mean: [f32; 3],
    /// What the red, green and blue values are divided by after that.
    pub std: [f32; 3],
}

/// A [`Preprocess`] that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PreprocessError {
    /// A side of zero, or one beyond any model.
    #[error("`{field}` is {pixels} pixels; it must be between 1 and {}", Preprocess::MAX_SIDE)]
    Side {
        /// `resize` or `crop`.
        field: &'static str,
        /// Its value.
        pixels: usize,
    },
    /// A mean that is not a number, or a standard deviation that is not positive.
    #[error("`{field}` is {values:?}; a mean must be finite, a standard deviation finite and above 0")]
    Colour {
        /// `mean` or `std`.
        field: &'static str,
        /// Its values.
        values: [f32; 3],
    },
}

impl Preprocess {
    /// The largest side that [`check`](Self::check) accepts, in pixels.
    pub const MAX_SIDE: usize = 4096;

    /// What OpenAI's CLIP models of input size `side` use: bicubic, and the colour statistics of the
    /// images they were trained on (Radford et al. 2021, `clip/clip.py`).
    #[expect(clippy::excessive_precision, reason = "the constants as they were published")]
    pub fn clip(side: usize) -> Self {
        Self {
            resize: side,
            crop: side,
            filter: Filter::Bicubic,
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
        }
    }

    /// Whether the values make sense; to be asked of every description that came from a file.
    ///
    /// # Errors
    /// [`PreprocessError`] for the first value that does not.
    pub fn check(&self) -> Result<(), PreprocessError> {
        for (field, pixels) in [("resize", self.resize), ("crop", self.crop)] {
            if !(1..=Self::MAX_SIDE).contains(&pixels) {
                return Err(PreprocessError::Side { field, pixels });
            }
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return Err(PreprocessError::Colour { field: "mean", values: self.mean });
        }
        if !self.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            return Err(PreprocessError::Colour { field: "std", values: self.std });
        }
        Ok(())
    }

    /// The image resized and cropped to a square of `crop` pixels, still as bytes. Where the resized
    /// image is smaller than the square, black is added around it, as torchvision does.
    pub fn square(&self, image: &RgbImage) -> RgbImage {
        let window = self.window(image.size(), PassOrder::default());
        let pixels = resize_bytes::<3>(&image.pixels, image.size(), &window);
        self.padded(RgbImage { width: window.columns.len(), height: window.rows.len(), pixels })
    }

    /// [`square`](Self::square) in the order of OpenAI's code: the image is resized and cropped in the
    /// colour mode of its file, and the result converted to RGB. That differs for images with a palette
    /// or 1 bit per pixel (whose pixels are not mixed), transparency, inks, and 16-bit grey.
    pub fn square_native(&self, image: &NativeImage, order: PassOrder) -> RgbImage {
        let window = self.window((image.width(), image.height()), order);
        self.padded(image.resized(&window))
    }

    /// The part of the resized image that the square shows.
    fn window(&self, (width, height): (usize, usize), order: PassOrder) -> Window {
        let size = self.resized(width, height);
        let columns = CenteredSpan::new(size.0, self.crop.max(1));
        let rows = CenteredSpan::new(size.1, self.crop.max(1));
        Window { size, columns: columns.range(), rows: rows.range(), filter: self.filter, order }
    }

    fn padded(&self, window: RgbImage) -> RgbImage {
        if window.size() == (self.crop, self.crop) {
            window
        } else {
            center_crop(&window, self.crop, self.crop)
        }
    }

    /// Width and height after the resize: the short side becomes `resize`, the long side
    /// `resize * long / short`, rounded down.
    fn resized(&self, width: usize, height: usize) -> (usize, usize) {
        let short = self.resize.max(1);
        let long = |short_side: usize, long_side: usize| {
            (short as f64 * long_side as f64 / short_side as f64) as usize
        };
        if width <= height { (short, long(width, height)) } else { (long(height, width), short) }
    }

    /// Writes the pixels (`[height, width, 3]` bytes) as model input, `(value / 255 - mean) / std` in
    /// `[3, height, width]`, to `out`.
    ///
    /// # Panics
    /// If `out` is not as long as `pixels`, or the length is not a multiple of 3.
    pub fn normalise(&self, pixels: &[u8], out: &mut [f32]) {
        assert_eq!(pixels.len(), out.len(), "one output value per byte");
        let (pixels, rest) = pixels.as_chunks::<3>();
        assert!(rest.is_empty(), "three bytes per pixel");
        for (channel, plane) in out.chunks_exact_mut(pixels.len().max(1)).enumerate() {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            let table: [f32; 256] = std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std);
            for (target, pixel) in plane.iter_mut().zip(pixels) {
                *target = table[usize::from(pixel[channel])];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_side_is_rounded_down() {
        let preprocess = Preprocess::clip(224);
        assert_eq!(preprocess.resized(500, 375), (298, 224));
        assert_eq!(preprocess.resized(375, 500), (224, 298));
        assert_eq!(preprocess.resized(7, 7), (224, 224));
    }

    #[test]
    fn a_thin_image_costs_no_more_than_its_square() {
        // Resized as a whole, this would be 224 x 22,400,000 pixels.
        let thin = RgbImage::new(1, 100_000, (0..300_000).map(|byte| (byte / 3) as u8).collect()).unwrap();
        let square = Preprocess::clip(224).square(&thin);
        assert_eq!((square.width, square.height), (224, 224));
        // The middle of the image is row 50,000, whose value is 50,000 mod 256.
        assert_eq!(square.pixels[square.pixels.len() - 1], 80);
    }

    #[test]
    fn normalised_planes_follow_each_other() {
        let preprocess = Preprocess { mean: [0.0, 0.5, 1.0], std: [1.0, 0.5, 2.0], ..Preprocess::clip(1) };
        let mut out = [0.0; 6];
        preprocess.normalise(&[255, 0, 255, 0, 255, 0], &mut out);
        assert_eq!(out, [1.0, 0.0, -1.0, 1.0, 0.0, -0.5]);
    }

    #[test]
    fn nonsense_is_named() {
        let clip = Preprocess::clip(224);
        assert_eq!(clip.check(), Ok(()));
        let field = |preprocess: Preprocess| match preprocess.check() {
            Err(PreprocessError::Side { field, .. } | PreprocessError::Colour { field, .. }) => field,
            Ok(()) => "none",
        };
        assert_eq!(field(Preprocess { resize: 0, ..clip.clone() }), "resize");
        assert_eq!(field(Preprocess { crop: 1 << 40, ..clip.clone() }), "crop");
        assert_eq!(field(Preprocess { mean: [0.5, f32::NAN, 0.5], ..clip.clone() }), "mean");
        assert_eq!(field(Preprocess { std: [0.5, 0.0, 0.5], ..clip }), "std");
    }

    #[test]
    fn it_survives_being_stored() {
        let stored = serde_json::to_string(&Preprocess::clip(224)).unwrap();
        assert!(stored.contains(r#""filter":"bicubic""#));
        assert_eq!(serde_json::from_str::<Preprocess>(&stored).unwrap(), Preprocess::clip(224));
        assert!(serde_json::from_str::<Preprocess>(&stored.replace("crop", "corp")).is_err());
    }
}
