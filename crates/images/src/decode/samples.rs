//! From the samples that a decoder delivers to an image in one of PIL's modes.

use super::SixteenBitGray;
use super::stored::Stored;
use crate::native::Samples;
use image::ColorType;

/// How a decoder delivers its pixels, as far as it matters for the conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SampleLayout {
    /// Colour channels: 1 (grey) or 3 (RGB).
    pub colours: usize,
    /// Whether an alpha channel follows them.
    pub alpha: bool,
    /// Bytes per sample: 1, or 2 in the byte order of this machine.
    pub bytes: usize,
}

impl SampleLayout {
    /// The layout of a colour type; `None` for floating-point samples.
    pub fn of(colour_type: ColorType) -> Option<Self> {
        let (colours, alpha, bytes) = match colour_type {
            ColorType::L8 => (1, false, 1),
            ColorType::La8 => (1, true, 1),
            ColorType::Rgb8 => (3, false, 1),
            ColorType::Rgba8 => (3, true, 1),
            ColorType::L16 => (1, false, 2),
            ColorType::La16 => (1, true, 2),
            ColorType::Rgb16 => (3, false, 2),
            ColorType::Rgba16 => (3, true, 2),
            _ => return None,
        };
        Some(Self { colours, alpha, bytes })
    }

    /// Samples per pixel.
    fn channels(self) -> usize {
        self.colours + usize::from(self.alpha)
    }

    /// Bytes per pixel.
    pub fn pixel_bytes(self) -> usize {
        self.channels() * self.bytes
    }

    /// Whether the file holds 16-bit grey without an alpha channel.
    pub fn is_gray16(self, stored: Stored) -> bool {
        self.bytes == 2 && self.colours == 1 && (!self.alpha || stored != Stored::AsDelivered)
    }

    /// The image, and whether any pixel was not opaque.
    pub fn to_samples(self, bytes: Vec<u8>, stored: Stored, gray: SixteenBitGray) -> (Samples, bool) {
        if self.is_gray16(stored) {
            let transparent = self.alpha && wide(&bytes).skip(1).step_by(2).any(|alpha| alpha < u16::MAX);
            let values = wide(&bytes).step_by(self.channels());
            let samples = match gray {
                SixteenBitGray::Clipped => Samples::Gray16(values.collect()),
                SixteenBitGray::Scaled => {
                    Samples::Rgb(values.flat_map(|value| [to_byte(value); 3]).collect())
                }
            };
            return (samples, transparent);
        }
        let bytes = if self.bytes == 2 { wide(&bytes).map(high_byte).collect() } else { bytes };
        let mut alphas = bytes.iter().skip(self.colours).step_by(self.channels());
        let transparent = self.alpha && alphas.any(|&alpha| alpha < 255);
        let samples = match stored {
            Stored::Indexed => Samples::Indexed(self.to_rgb(bytes)),
            Stored::AsDelivered if self.alpha => Samples::Rgba(self.to_rgba(bytes)),
            _ => Samples::Rgb(self.to_rgb(bytes)),
        };
        (samples, transparent)
    }

    fn to_rgb(self, bytes: Vec<u8>) -> Vec<u8> {
        match (self.colours, self.channels()) {
            (3, 3) => bytes,
            (1, channels) => bytes.iter().step_by(channels).flat_map(|&gray| [gray; 3]).collect(),
            _ => bytes.as_chunks::<4>().0.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect(),
        }
    }

    fn to_rgba(self, bytes: Vec<u8>) -> Vec<u8> {
        if self.colours == 3 {
            return bytes;
        }
        bytes.as_chunks::<2>().0.iter().flat_map(|&[gray, alpha]| [gray, gray, gray, alpha]).collect()
    }
}

/// `value / 257`, rounded: 65,535 becomes 255.
fn to_byte(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

fn high_byte(value: u16) -> u8 {
    (value >> 8) as u8
}

/// The 16-bit samples.
fn wide(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_ne_bytes(*pair))
}
