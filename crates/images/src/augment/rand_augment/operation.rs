//! One operation of RandAugment: what it is, how strong it is, and that it is carried out.

use super::affine::Affine;
use super::{RandAugment, enhance, levels};
use crate::RgbImage;
use crate::random::Stream;

/// An operation with its strength.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// Every channel is stretched over the whole range (`ImageOps.autocontrast`).
    AutoContrast,
    /// Every channel gets a histogram as even as possible (`ImageOps.equalize`).
    Equalize,
    /// A rotation about the middle (`Image.rotate`).
    Rotate {
        /// Counter-clockwise.
        degrees: f64,
    },
    /// Only the highest bits of every value are kept (`ImageOps.posterize`).
    Posterize {
        /// How many, 1 to 8.
        bits: u32,
    },
    /// Values from a threshold on are inverted (`ImageOps.solarize`).
    Solarize {
        /// The smallest value that is inverted, 0 to 256.
        threshold: f64,
    },
    /// Something is added to every value, up to 255; then values from 128 on are inverted.
    SolarizeAdd {
        /// What is added, 0 to 255.
        addition: f64,
    },
    /// Between grey (0) and the image (1), and beyond (`ImageEnhance.Color`).
    Color {
        /// The share of the image.
        factor: f32,
    },
    /// Between the mean grey of the image (0) and the image (1), and beyond (`ImageEnhance.Contrast`).
    Contrast {
        /// The share of the image.
        factor: f32,
    },
    /// Between black (0) and the image (1), and beyond (`ImageEnhance.Brightness`).
    Brightness {
        /// The share of the image.
        factor: f32,
    },
    /// Between a smoothed image (0) and the image (1), and beyond (`ImageEnhance.Sharpness`).
    Sharpness {
        /// The share of the image.
        factor: f32,
    },
    /// Rows are shifted against each other (`Image.transform`).
    ShearX {
        /// Columns per row, to the left.
        slope: f64,
    },
    /// Columns are shifted against each other (`Image.transform`).
    ShearY {
        /// Rows per column, upwards.
        slope: f64,
    },
    /// The image is shifted along its rows (`Image.transform`).
    TranslateX {
        /// To the left, in pixels of the image as it is, whatever its size.
        pixels: f64,
    },
    /// The image is shifted along its columns (`Image.transform`).
    TranslateY {
        /// Upwards, in pixels of the image as it is, whatever its size.
        pixels: f64,
    },
}

impl Operation {
    /// Number of operations to draw from.
    const COUNT: usize = 14;

    /// A random operation at `magnitude` (0 to 30): the strength is `low + magnitude / 30 * (high - low)` of its range.
    ///
    /// | Operations | Range |
    /// | --- | --- |
    /// | rotation | 0 to 30 degrees |
    /// | posterisation | 0 to 4 bits, rounded down, but at least 1 |
    /// | solarisation | threshold 0 to 256 (so that a larger magnitude changes less) |
    /// | solarisation after an addition | 0 to 110 |
    /// | colour, contrast, brightness, sharpness | factor 0.1 to 1.9 (so that 15 changes nothing) |
    /// | shears | slope 0 to 0.3 |
    /// | translations | 0 to 100 pixels |
    ///
    /// Rotations, shears and translations go either way with probability one half.
    pub fn draw(magnitude: f64, stream: &mut Stream) -> Self {
        let within = |low: f64, high: f64| magnitude / RandAugment::MAX_MAGNITUDE * (high - low) + low;
        let factor = within(0.1, 1.9) as f32;
        let operation = stream.below(Self::COUNT);
        let mut either_way = |strength: f64| if stream.chance(0.5) { -strength } else { strength };
        match operation {
            0 => Self::AutoContrast,
            1 => Self::Equalize,
            2 => Self::Rotate { degrees: either_way(within(0.0, 30.0)) },
            3 => Self::Posterize { bits: (within(0.0, 4.0) as u32).max(1) },
            4 => Self::Solarize { threshold: within(0.0, 256.0) },
            5 => Self::SolarizeAdd { addition: within(0.0, 110.0) },
            6 => Self::Color { factor },
            7 => Self::Contrast { factor },
            8 => Self::Brightness { factor },
            9 => Self::Sharpness { factor },
            10 => Self::ShearX { slope: either_way(within(0.0, 0.3)) },
            11 => Self::ShearY { slope: either_way(within(0.0, 0.3)) },
            12 => Self::TranslateX { pixels: either_way(within(0.0, 100.0)) },
            _ => Self::TranslateY { pixels: either_way(within(0.0, 100.0)) },
        }
    }

    /// The changed image, as large as `image`. What comes in from outside is black, and pixels are moved without being
    /// mixed (nearest neighbour).
    pub fn apply(self, image: &RgbImage) -> RgbImage {
        match self {
            Self::AutoContrast => levels::auto_contrast(image),
            Self::Equalize => levels::equalize(image),
            Self::Rotate { degrees } => Affine::rotation(degrees, image.size())
                .map_or_else(|| image.clone(), |turn| turn.apply(image)),
            Self::Posterize { bits } => levels::posterize(image, bits),
            Self::Solarize { threshold } => levels::solarize(image, threshold),
            Self::SolarizeAdd { addition } => levels::solarize_add(image, addition),
            Self::Color { factor } => enhance::color(image, factor),
            Self::Contrast { factor } => enhance::contrast(image, factor),
            Self::Brightness { factor } => enhance::brightness(image, factor),
            Self::Sharpness { factor } => enhance::sharpness(image, factor),
            Self::ShearX { slope } => Affine { x: [1.0, slope, 0.0], y: [0.0, 1.0, 0.0] }.apply(image),
            Self::ShearY { slope } => Affine { x: [1.0, 0.0, 0.0], y: [slope, 1.0, 0.0] }.apply(image),
            Self::TranslateX { pixels } => Affine { x: [1.0, 0.0, pixels], y: [0.0, 1.0, 0.0] }.apply(image),
            Self::TranslateY { pixels } => Affine { x: [1.0, 0.0, 0.0], y: [0.0, 1.0, pixels] }.apply(image),
        }
    }
}
