//! From the samples that a decoder delivers to 8-bit RGB, by the rules of PIL's `convert("RGB")`.

use image::ColorType;

/// How a file stores its pixels, as far as it matters for the conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SampleLayout {
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

    /// `[height, width, 3]` bytes, and whether any pixel was not opaque. `clip` says that 16-bit
    /// values are cut at 255 (what PIL does with grey ones) instead of reduced to their high byte.
    pub fn to_rgb(self, samples: Vec<u8>, clip: bool) -> (Vec<u8>, bool) {
        if self.bytes == 1 {
            self.bytes_to_rgb(samples)
        } else {
            let to_byte = |pair: &[u8; 2]| {
                let value = u16::from_ne_bytes(*pair);
                if clip { value.min(255) as u8 } else { (value >> 8) as u8 }
            };
            self.bytes_to_rgb(samples.as_chunks::<2>().0.iter().map(to_byte).collect())
        }
    }

    fn bytes_to_rgb(self, samples: Vec<u8>) -> (Vec<u8>, bool) {
        if self.channels() == 3 {
            return (samples, false);
        }
        let mut rgb = Vec::with_capacity(samples.len() / self.channels() * 3);
        let mut transparent = false;
        for pixel in samples.chunks_exact(self.channels()) {
            match *pixel {
                [gray] => rgb.extend([gray; 3]),
                [gray, alpha] => {
                    rgb.extend([gray; 3]);
                    transparent |= alpha < 255;
                }
                [red, green, blue, alpha] => {
                    rgb.extend([red, green, blue]);
                    transparent |= alpha < 255;
                }
                _ => {}
            }
        }
        (rgb, transparent)
    }
}
