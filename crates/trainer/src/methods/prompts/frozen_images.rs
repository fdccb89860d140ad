//! Image features of the frozen tower, computed once per image where images come back unchanged.

use burn::tensor::Tensor;
use regulus_clip::{Clip, Injection, normalise};

use crate::batches::{Batch, ImageSet};
use crate::stages::{self, Stage};
use crate::zero_shot::FROZEN_CHUNK;

/// Unit features of the frozen image tower.
#[derive(Debug, Clone)]
pub(crate) struct FrozenImages {
    clip: Clip,
    /// Of every training image, `[images, embed]`, when images are not augmented.
    known: Option<Tensor<2>>,
}

impl FrozenImages {
    pub(crate) fn new(clip: Clip) -> Self {
        Self { clip, known: None }
    }

    /// Computes the features of all images.
    pub(crate) fn prepare(&mut self, images: &ImageSet<'_>) {
        let features: Vec<Tensor<2>> =
            images.chunks(FROZEN_CHUNK).map(|pixels| self.encode(pixels)).collect();
        self.known = (!features.is_empty()).then(|| Tensor::cat(features, 0));
    }

    /// # Shapes
    /// - `pixels`: `[batch, 3, height, width]`
    /// - output: unit features, `[batch, embed]`
    pub(crate) fn encode(&self, pixels: Tensor<4>) -> Tensor<2> {
        normalise(self.clip.encode_image(pixels, &Injection::none()))
    }

    /// Unit features of a training batch, `[batch, embed]`.
    pub(crate) fn of(&self, batch: &Batch) -> Tensor<2> {
        match &self.known {
            Some(features) => batch.rows_of(features),
            None => stages::within(Stage::Teacher, || self.encode(batch.pixels.clone())),
        }
    }
}
