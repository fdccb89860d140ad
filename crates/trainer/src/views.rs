//! Two views of each image: what contrastive learning trains on instead of labels.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use regulus_images::augment::{ColorJitter, GaussianBlur, RandomResizedCrop, grayscale};
use regulus_images::random::Stream;
use regulus_images::{FileError, RgbImage, flip_horizontal};
use serde::{Deserialize, Serialize};

use crate::batches::{Batch, BatchSource, ImageSet, Sampler};

/// How a view is made of an image, in this order. The changes are those of [`regulus_images::augment`], torchvision's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewSpec {
    /// A part of the image, brought back to its size.
    pub crop: CropSpec,
    /// Probability of mirroring left to right.
    pub flip: f64,
    /// Random colours.
    pub jitter: JitterSpec,
    /// Probability of taking the colour away.
    pub grey: f64,
    /// Random blur.
    pub blur: BlurSpec,
}

/// The part that a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropSpec {
    /// Smallest and largest share of the image's area.
    pub scale: (f64, f64),
    /// Smallest and largest width over height (default 3/4 and 4/3).
    #[serde(default = "usual_ratio")]
    pub ratio: (f64, f64),
}

/// Random changes of colour: factors within 1 ± the amount, and turns of the hue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JitterSpec {
    /// Probability that colours change at all.
    pub chance: f64,
    /// Amount of the brightness.
    pub brightness: f64,
    /// Amount of the contrast.
    pub contrast: f64,
    /// Amount of the saturation.
    pub saturation: f64,
    /// Largest turn of the hue in either direction, as a share of the colour circle.
    pub hue: f64,
}

/// A blur of random width.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlurSpec {
    /// Probability of the blur.
    pub chance: f64,
    /// Pixels on each side that count.
    pub radius: usize,
    /// Smallest and largest standard deviation in pixels.
    pub sigma: (f64, f64),
}

fn usual_ratio() -> (f64, f64) {
    (3.0 / 4.0, 4.0 / 3.0)
}

/// Largest radius of a blur.
const MOST_RADIUS: usize = 1_000;

impl ViewSpec {
    /// Everything that is out of range: the key below the views' table, and what is wrong.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let amount = |value: f64| value.is_finite() && value >= 0.0;
        let within = |(low, high): (f64, f64), most: f64| low > 0.0 && low <= high && high <= most;
        let CropSpec { scale, ratio } = self.crop;
        let JitterSpec { chance, brightness, contrast, saturation, hue } = self.jitter;
        let sigma = self.blur.sigma;
        let checks = [
            (
                "crop.scale",
                within(scale, 1.0),
                format!("is {scale:?}; expected two shares, the smaller first"),
            ),
            (
                "crop.ratio",
                within(ratio, f64::MAX),
                format!("is {ratio:?}; expected two numbers above 0, the smaller first"),
            ),
            ("flip", share(self.flip), format!("is {}; expected 0 to 1", self.flip)),
            ("jitter.chance", share(chance), format!("is {chance}; expected 0 to 1")),
            ("jitter.brightness", amount(brightness), format!("is {brightness}; expected 0 or more")),
            ("jitter.contrast", amount(contrast), format!("is {contrast}; expected 0 or more")),
            ("jitter.saturation", amount(saturation), format!("is {saturation}; expected 0 or more")),
            ("jitter.hue", (0.0..=0.5).contains(&hue), format!("is {hue}; expected 0 to 0.5")),
            ("grey", share(self.grey), format!("is {}; expected 0 to 1", self.grey)),
            ("blur.chance", share(self.blur.chance), format!("is {}; expected 0 to 1", self.blur.chance)),
            (
                "blur.radius",
                self.blur.radius <= MOST_RADIUS,
                format!("is {}; expected at most {MOST_RADIUS}", self.blur.radius),
            ),
            (
                "blur.sigma",
                within(sigma, f64::MAX),
                format!("is {sigma:?}; expected two numbers above 0, the smaller first"),
            ),
        ];
        checks.into_iter().filter(|(_, holds, _)| !holds).map(|(key, _, message)| (key, message)).collect()
    }

    /// A view of a square image, of the same size.
    pub fn view(&self, image: &RgbImage, filter: regulus_images::Filter, stream: &mut Stream) -> RgbImage {
        let CropSpec { scale, ratio } = self.crop;
        let crop = RandomResizedCrop { scale, ratio, side: image.width, filter };
        let mut view = crop.apply(image, stream);
        if stream.chance(self.flip) {
            view = flip_horizontal(&view);
        }
        let JitterSpec { chance, brightness, contrast, saturation, hue } = self.jitter;
        if stream.chance(chance) {
            view = ColorJitter::around(brightness, contrast, saturation, hue).apply(&view, stream);
        }
        if stream.chance(self.grey) {
            view = grayscale(&view);
        }
        if stream.chance(self.blur.chance) {
            let BlurSpec { radius, sigma, .. } = self.blur;
            view = GaussianBlur { radius, sigma }.apply(&view, stream);
        }
        view
    }
}

/// Batches of two views per image, in the order of [`Sampler`]: the first views of all images of a step, then the
/// second ones. The labels are those of the images, twice.
#[derive(Debug, Clone)]
pub struct TwoViews<'a> {
    /// Which images each step sees. Its augmentation is not used.
    pub sampler: Sampler<'a>,
    /// How views are made.
    pub views: ViewSpec,
}

impl TwoViews<'_> {
    /// Normalised pixels of one view, `[3, side, side]`.
    fn write(&self, index: usize, epoch: usize, which: usize, out: &mut [f32]) {
        let ImageSet { images, preprocess, .. } = self.sampler.images;
        let (side, pixels) = (images.side, images.image(index).to_vec());
        let image = RgbImage { width: side, height: side, pixels };
        let mut stream = Stream::new(self.sampler.seed, "view", epoch as u64, (2 * index + which) as u64);
        let view = self.views.view(&image, preprocess.filter, &mut stream);
        preprocess.normalise(&view.pixels, out);
    }
}

impl BatchSource for TwoViews<'_> {
    fn batch(&self, step: usize) -> Result<Option<Batch>, FileError> {
        let (epoch, indices) = self.sampler.indices(step);
        if indices.is_empty() {
            return Ok(None);
        }
        let ImageSet { images, device, .. } = self.sampler.images;
        let (count, side) = (indices.len(), images.side);
        let mut values = vec![0f32; 2 * count * 3 * side * side];
        values.par_chunks_mut(3 * side * side).enumerate().for_each(|(place, out)| {
            self.write(indices[place % count], epoch, place / count, out);
        });
        let pixels = Tensor::from_data(TensorData::new(values, [2 * count, 3, side, side]), device);
        let labels = self.sampler.images.labels(&indices);
        let labels = Tensor::cat(vec![labels.clone(), labels], 0);
        Ok(Some(Batch { pixels, labels, indices, epoch, step }))
    }

    fn steps_per_epoch(&self) -> usize {
        self.sampler.steps_per_epoch()
    }

    fn unchanging(&self) -> Option<ImageSet<'_>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::Augmentation;
    use crate::testing::device;
    use regulus_datasets::LabelledImages;
    use regulus_images::Preprocess;

    fn spec() -> ViewSpec {
        ViewSpec {
            crop: CropSpec { scale: (0.3, 1.0), ratio: usual_ratio() },
            flip: 0.5,
            jitter: JitterSpec { chance: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 },
            grey: 0.2,
            blur: BlurSpec { chance: 0.5, radius: 1, sigma: (0.1, 2.0) },
        }
    }

    /// What leaves every image as it is.
    fn still() -> ViewSpec {
        ViewSpec {
            crop: CropSpec { scale: (1.0, 1.0), ratio: (1.0, 1.0) },
            flip: 0.0,
            jitter: JitterSpec { chance: 0.0, ..spec().jitter },
            grey: 0.0,
            blur: BlurSpec { chance: 0.0, ..spec().blur },
        }
    }

    fn images(count: usize) -> LabelledImages {
        let mut stream = Stream::new(1, "test images", 0, 0);
        let pixels = (0..count * 8 * 8 * 3).map(|_| stream.below(256) as u8).collect();
        LabelledImages::new(8, pixels, (0..count).collect()).unwrap()
    }

    fn batch(views: ViewSpec, images: &LabelledImages, step: usize) -> Batch {
        let (preprocess, device) = (Preprocess::clip(8), device());
        let set = ImageSet { images, preprocess: &preprocess, device: &device };
        let sampler =
            Sampler { images: set, originals: images, seed: 5, batch: 3, augmentation: Augmentation::None };
        TwoViews { sampler, views }.batch(step).unwrap().unwrap()
    }

    fn rows(batch: &Batch) -> Vec<Vec<f32>> {
        let values: Vec<f32> = batch.pixels.to_data_as::<f32>().iter::<f32>().collect();
        values.chunks_exact(3 * 8 * 8).map(<[f32]>::to_vec).collect()
    }

    #[test]
    fn the_second_half_shows_the_images_of_the_first() {
        let images = images(7);
        let batch = batch(still(), &images, 0);
        assert_eq!(batch.pixels.dims(), [6, 3, 8, 8]);
        let rows = rows(&batch);
        assert_eq!(rows[..3], rows[3..]);
        for (row, &index) in rows.iter().zip(&batch.indices) {
            let mut expected = vec![0.0; 3 * 8 * 8];
            Preprocess::clip(8).normalise(images.image(index), &mut expected);
            assert_eq!(*row, expected);
        }
    }

    #[test]
    fn views_differ_between_halves_and_epochs_and_come_again() {
        let images = images(3);
        let (first, later) = (batch(spec(), &images, 0), batch(spec(), &images, 1));
        assert_eq!((first.epoch, later.epoch), (0, 1));
        let all: Vec<Vec<f32>> = [rows(&first), rows(&later)].concat();
        for (place, row) in all.iter().enumerate() {
            assert!(!all[..place].contains(row));
        }
        assert_eq!(rows(&first), rows(&batch(spec(), &images, 0)));
    }

    #[test]
    fn every_value_out_of_range_is_named() {
        assert!(spec().faults().is_empty() && still().faults().is_empty());
        let wrong = ViewSpec {
            crop: CropSpec { scale: (0.0, 1.5), ratio: (2.0, 1.0) },
            flip: -0.1,
            jitter: JitterSpec {
                chance: f64::NAN,
                brightness: -1.0,
                contrast: f64::INFINITY,
                saturation: -0.5,
                hue: 0.6,
            },
            grey: 2.0,
            blur: BlurSpec { chance: 1.1, radius: 2_000, sigma: (0.0, 1.0) },
        };
        let keys: Vec<&str> = wrong.faults().into_iter().map(|(key, _)| key).collect();
        let expected = [
            "crop.scale",
            "crop.ratio",
            "flip",
            "jitter.chance",
            "jitter.brightness",
            "jitter.contrast",
            "jitter.saturation",
            "jitter.hue",
            "grey",
            "blur.chance",
            "blur.radius",
            "blur.sigma",
        ];
        assert_eq!(keys, expected);
    }
}
