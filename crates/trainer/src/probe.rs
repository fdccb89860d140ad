//! How good frozen features are: the accuracy of a linear classifier on them.

use burn::tensor::{Device, Tensor};
use regulus_clip::{Injection, Normalisation, normalise};
use regulus_datasets::LabelledImages;
use regulus_images::Preprocess;

use crate::batches::ImageSet;
use crate::evaluate::score;
use crate::methods::{ImageEncoder, LogisticRegression, ProbeError, fit_logistic_regression};
use crate::zero_shot::FROZEN_CHUNK;

/// A frozen encoder with a linear classifier on its features, each divided by its length.
pub struct FeatureProbe<'a> {
    encoder: &'a ImageEncoder,
    preprocess: &'a Preprocess,
    device: Device,
    classes: usize,
    fitted: LogisticRegression,
}

impl<'a> FeatureProbe<'a> {
    /// Fits the classifier on labelled images: `C sum CE + 1/2 ||W||^2` at its optimum
    /// ([`fit_logistic_regression`]).
    ///
    /// # Errors
    /// [`ProbeError`] for labels that are not below `classes`, and for features that are no numbers.
    pub fn fit(
        encoder: &'a ImageEncoder,
        preprocess: &'a Preprocess,
        train: &LabelledImages,
        classes: usize,
        c: f64,
    ) -> Result<Self, ProbeError> {
        let device = encoder.device();
        let features = features(encoder, &ImageSet { images: train, preprocess, device: &device });
        let fitted = fit_logistic_regression(&features, &train.labels, classes, c)?;
        Ok(Self { encoder, preprocess, device, classes, fitted })
    }

    /// Accuracy on images that the classifier has not seen, in percent.
    pub fn accuracy(&self, test: &LabelledImages) -> f64 {
        let (preprocess, device) = (self.preprocess, &self.device);
        let features = features(self.encoder, &ImageSet { images: test, preprocess, device });
        let width = self.encoder.width().max(1);
        let logits: Vec<f32> = features.chunks_exact(width).flat_map(|row| self.fitted.logits(row)).collect();
        score(&logits, &test.labels, self.classes).accuracy
    }
}

/// Unit features of every image, row by row `[images, width]`.
fn features(encoder: &ImageEncoder, images: &ImageSet<'_>) -> Vec<f64> {
    let rows = images.chunks(FROZEN_CHUNK).flat_map(|pixels| {
        let features: Tensor<2> =
            normalise(encoder.features(pixels, &Injection::none(), Normalisation::Running));
        features.into_data_as::<f32>().iter::<f32>().map(f64::from).collect::<Vec<f64>>()
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::device;
    use regulus_clip::{Activation, Backbone, VitBackbone, VitConfig};

    fn encoder() -> ImageEncoder {
        let config = VitConfig {
            resolution: 4,
            patch: 2,
            width: 8,
            layers: 1,
            heads: 2,
            mlp_width: 16,
            activation: Activation::Gelu,
            layer_norm_eps: 1e-6,
        };
        let network = Backbone::Vit(VitBackbone::init(&config, 1, &device()).unwrap());
        ImageEncoder::Backbone { network, device: device() }
    }

    /// Black images are of class 0, white ones of class 1.
    fn images(labels: &[usize]) -> LabelledImages {
        let pixels = labels.iter().flat_map(|&label| [255 * label as u8; 48]).collect();
        LabelledImages::new(4, pixels, labels.to_vec()).unwrap()
    }

    #[test]
    fn what_features_tell_apart_is_told_apart() {
        let (encoder, preprocess) = (encoder(), Preprocess::clip(4));
        let probe = FeatureProbe::fit(&encoder, &preprocess, &images(&[0, 1, 1, 0]), 2, 1e4).unwrap();
        assert_eq!(probe.accuracy(&images(&[1, 0, 0])), 100.0);
        let mut mislabelled = images(&[1, 0, 0, 0]);
        mislabelled.labels[0] = 0;
        assert_eq!(probe.accuracy(&mislabelled), 75.0);
    }

    #[test]
    fn labels_outside_the_classes_are_refused() {
        let (encoder, preprocess) = (encoder(), Preprocess::clip(4));
        let error = FeatureProbe::fit(&encoder, &preprocess, &images(&[0, 1]), 1, 1.0).err().unwrap();
        assert!(matches!(error, ProbeError::Label { label: 1, classes: 1 }));
    }
}
