//! How training images are changed at random, visit by visit.
//!
//! Mirroring works on the squares that are in memory. Everything else works on the original of an image, in the order
//! that the recipe gives, before the model's resize and crop: RandAugment comes first in ProReg's code, and a random
//! resized crop takes the place of the resize.

mod words;

use regulus_images::augment::{PaddedCrop, RandAugment, RandomResizedCrop};
use regulus_images::random::Stream;
use regulus_images::{Preprocess, RgbImage, flip_horizontal};
use serde::{Deserialize, Serialize};

/// Random changes of training images.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Augmentation {
    /// Images as they are: what is frozen may be computed once and kept.
    #[default]
    None,
    /// Mirrored left to right with probability one half.
    Flip,
    /// Changes of the original image, in this order.
    Steps(Vec<Step>),
}

impl From<Vec<Step>> for Augmentation {
    /// Where no step needs the original, this is [`None`](Self::None) or [`Flip`](Self::Flip).
    fn from(steps: Vec<Step>) -> Self {
        match steps[..] {
            [] => Self::None,
            [Step::Flip] => Self::Flip,
            _ => Self::Steps(steps),
        }
    }
}

/// One random change of an image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Operations of RandAugment.
    RandAugment(RandAugment),
    /// A random part, resized to the side of the model's images by the model's filter.
    RandomResizedCrop(PartOfImage),
    /// A random shift.
    PaddedCrop(PaddedCrop),
    /// Mirrored left to right with probability one half.
    Flip,
}

/// Which parts of an image a random resized crop may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartOfImage {
    /// Smallest and largest area, as a share of the image's (default 0.08 and 1, torchvision's).
    pub scale: [f64; 2],
    /// Smallest and largest width over height (default 3/4 and 4/3, torchvision's).
    pub ratio: [f64; 2],
}

impl Default for PartOfImage {
    fn default() -> Self {
        Self { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

impl Step {
    /// The step as recipes write it. It also names the stream that the step draws from.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RandAugment(_) => words::RAND_AUGMENT,
            Self::RandomResizedCrop(_) => words::RANDOM_RESIZED_CROP,
            Self::PaddedCrop(_) => words::PADDED_CROP,
            Self::Flip => words::FLIP,
        }
    }

    /// The changed image: `preprocess.crop` pixels square after a random resized crop, as large as before otherwise.
    fn apply(&self, image: &RgbImage, preprocess: &Preprocess, stream: &mut Stream) -> RgbImage {
        match self {
            Self::RandAugment(operations) => operations.apply(image, stream),
            Self::RandomResizedCrop(PartOfImage { scale, ratio }) => {
                let (scale, ratio) = ((*scale).into(), (*ratio).into());
                let (side, filter) = (preprocess.crop, preprocess.filter);
                RandomResizedCrop { scale, ratio, side, filter }.apply(image, stream)
            }
            Self::PaddedCrop(shift) => shift.apply(image, stream),
            Self::Flip if stream.chance(0.5) => flip_horizontal(image),
            Self::Flip => image.clone(),
        }
    }
}

/// What a model sees of an `original` at one visit, `preprocess.crop` pixels square. Each step draws from the stream of
/// its own name. Unless a random resized crop has made the image square, the model's resize and crop follow the steps,
/// before a `flip` at their end.
pub fn view(
    steps: &[Step],
    original: RgbImage,
    preprocess: &Preprocess,
    stream: impl Fn(&'static str) -> Stream,
) -> RgbImage {
    let apply = |image: RgbImage, step: &Step| step.apply(&image, preprocess, &mut stream(step.name()));
    let (before, after) = match steps {
        [before @ .., Step::Flip] => (before, Some(&Step::Flip)),
        all => (all, None),
    };
    let changed = before.iter().fold(original, apply);
    let is_square = before.iter().any(|step| matches!(step, Step::RandomResizedCrop(_)));
    let square = if is_square { changed } else { preprocess.square(&changed) };
    after.into_iter().fold(square, apply)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROP: Step = Step::RandomResizedCrop(PartOfImage { scale: [0.3, 0.9], ratio: [0.75, 1.25] });

    fn original() -> RgbImage {
        RgbImage::new(19, 14, (0..19 * 14 * 3).map(|value| (value * 37 % 256) as u8).collect()).unwrap()
    }

    fn stream(name: &'static str) -> Stream {
        Stream::new(5, name, 2, 9)
    }

    #[test]
    fn steps_come_in_the_order_given_and_draw_from_their_own_streams() {
        let preprocess = Preprocess::clip(8);
        let augment = RandAugment::default();
        let shift = PaddedCrop { padding: 3 };
        let steps = [Step::RandAugment(augment), Step::PaddedCrop(shift)];
        let augmented = augment.apply(&original(), &mut stream("rand-augment"));
        let by_hand = preprocess.square(&shift.apply(&augmented, &mut stream("padded-crop")));
        assert_eq!(view(&steps, original(), &preprocess, stream), by_hand);
        let [first, second] = steps;
        assert_ne!(view(&[second, first], original(), &preprocess, stream), by_hand);
    }

    #[test]
    fn a_random_resized_crop_takes_the_place_of_the_resize() {
        let preprocess = Preprocess { resize: 12, ..Preprocess::clip(8) };
        let filter = preprocess.filter;
        let crop = RandomResizedCrop { scale: (0.3, 0.9), ratio: (0.75, 1.25), side: 8, filter };
        let by_hand = crop.apply(&original(), &mut stream("random-resized-crop"));
        assert_eq!(view(&[CROP], original(), &preprocess, stream), by_hand);
    }

    #[test]
    fn a_flip_at_the_end_mirrors_the_square_whatever_came_before() {
        let preprocess = Preprocess::clip(8);
        let flips = stream("flip").chance(0.5);
        let mirrored = |image: RgbImage| if flips { flip_horizontal(&image) } else { image };
        let square = preprocess.square(&original());
        assert_eq!(view(&[Step::Flip], original(), &preprocess, stream), mirrored(square));
        let cropped = view(&[CROP], original(), &preprocess, stream);
        assert_eq!(view(&[CROP, Step::Flip], original(), &preprocess, stream), mirrored(cropped));
    }
}
