//! RandAugment (Cubuk, Zoph, Shlens, Le 2020) in the form that ProReg's official code uses, `vilt/transforms/randaug.py`
//! of ViLT. Its source, `ildoonet/pytorch-randaugment`, has 16 operations; ViLT leaves out two of them (inversion and
//! cutting out a rectangle). Every operation equals Pillow's to the last bit.

mod affine;
mod enhance;
mod levels;
mod operation;

pub use operation::Operation;

use crate::RgbImage;
use crate::random::Stream;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A few operations, drawn at random with replacement, one after the other and all of the same strength.
///
/// ```
/// use regulus_images::{RgbImage, augment::RandAugment, random::Stream};
/// # fn main() -> Result<(), regulus_images::ShapeError> {
/// let image = RgbImage::new(40, 30, vec![128; 40 * 30 * 3])?;
/// let changed = RandAugment::default().apply(&image, &mut Stream::new(7, "rand-augment", 0, 42));
/// assert_eq!((changed.width, changed.height), (40, 30));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandAugment {
    /// Operations per image (default 2, as in ProReg).
    pub operations: usize,
    /// Strength of every operation, 0 to [`MAX_MAGNITUDE`](Self::MAX_MAGNITUDE) (default 9, as in ProReg); see
    /// [`Operation::draw`].
    pub magnitude: f64,
}

impl Default for RandAugment {
    fn default() -> Self {
        Self { operations: 2, magnitude: 9.0 }
    }
}

impl RandAugment {
    /// The largest magnitude: the upper end of the range of every operation.
    pub const MAX_MAGNITUDE: f64 = 30.0;

    /// The changed image, as large as `image`.
    pub fn apply(&self, image: &RgbImage, stream: &mut Stream) -> RgbImage {
        let mut changed = Cow::Borrowed(image);
        for _ in 0..self.operations {
            changed = Cow::Owned(Operation::draw(self.magnitude, stream).apply(&changed));
        }
        changed.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(magnitude: f64) -> Vec<Operation> {
        (0..2_000).map(|index| Operation::draw(magnitude, &mut Stream::new(3, "test", 0, index))).collect()
    }

    #[test]
    fn fourteen_operations_are_equally_probable_and_half_of_the_directions_are_negative() {
        let operations = drawn(9.0);
        let share = |holds: fn(&Operation) -> bool| {
            operations.iter().filter(|operation| holds(operation)).count() as f64 / 2_000.0
        };
        assert!((share(|operation| *operation == Operation::AutoContrast) - 1.0 / 14.0).abs() < 0.02);
        assert!(
            (share(|operation| matches!(operation, Operation::TranslateY { .. })) - 1.0 / 14.0).abs() < 0.02
        );
        assert!(
            (share(|operation| *operation == Operation::Rotate { degrees: -9.0 }) - 1.0 / 28.0).abs() < 0.02
        );
        assert!(
            (share(|operation| *operation == Operation::Rotate { degrees: 9.0 }) - 1.0 / 28.0).abs() < 0.02
        );
    }

    #[test]
    fn strengths_at_magnitude_nine_are_those_of_the_official_code() {
        // Python: for each operation (9 / 30) * (high - low) + low.
        let expected = [
            Operation::Posterize { bits: 1 },
            Operation::Solarize { threshold: 76.8 },
            Operation::SolarizeAdd { addition: 33.0 },
            Operation::Color { factor: 0.64 },
            Operation::Contrast { factor: 0.64 },
            Operation::Brightness { factor: 0.64 },
            Operation::Sharpness { factor: 0.64 },
            Operation::ShearX { slope: 0.09 },
            Operation::ShearY { slope: -0.09 },
            Operation::TranslateX { pixels: -30.0 },
            Operation::TranslateY { pixels: 30.0 },
        ];
        let operations = drawn(9.0);
        for operation in expected {
            assert!(operations.contains(&operation), "{operation:?}");
        }
    }

    #[test]
    fn two_operations_follow_each_other() {
        let image = RgbImage::new(5, 5, (0..75).map(|value| value * 3).collect()).unwrap();
        let changed = RandAugment::default().apply(&image, &mut Stream::new(3, "test", 0, 7));
        let mut stream = Stream::new(3, "test", 0, 7);
        let first = Operation::draw(9.0, &mut stream).apply(&image);
        assert_eq!(changed, Operation::draw(9.0, &mut stream).apply(&first));
    }
}
