//! Learning prompts of any form, under any regulariser.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use regulus_clip::{Clip, EmbeddedTexts, Injection, normalise};
use regulus_losses::{BatchOutputs, cross_entropy};

use super::frozen_images::FrozenImages;
use super::regulariser::PromptRegulariser;
use super::{PromptError, start};
use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable, PlainClassifier};
use crate::method::{Method, Objective};
use crate::methods::part::Part;
use crate::parameters::Parameters;

/// A form of prompts: vectors that enter the towers' layers as a [`Part`], and class texts that make room for them.
pub trait Prompts: Part {
    /// The class texts, one per class.
    fn texts(&self, parameters: &Parameters) -> EmbeddedTexts;
}

/// Why prompts of images have no plain form.
pub(crate) const IMAGE_PROMPTS: &str =
    "its image tower reads learned prompts beside the image, for which a plain model has no place";

/// Prompt learning: the frozen model classifies by cosine similarity, and prompts are all that is trained.
#[derive(Debug, Clone)]
pub struct PromptLearning {
    clip: Clip,
    prompts: Arc<dyn Prompts>,
    regulariser: PromptRegulariser,
    start: Parameters,
    scale: f64,
    frozen_images: FrozenImages,
    /// Unit text features, if no prompt reaches them, `[classes, embed]`.
    fixed_texts: Option<Tensor<2>>,
}

impl PromptLearning {
    /// Learns `prompts` for `clip`.
    pub fn new(clip: Clip, prompts: impl Prompts + 'static, regulariser: PromptRegulariser) -> Self {
        Self::of(clip, Arc::new(prompts), regulariser)
    }

    /// Learns prompts that are shared with others.
    pub fn of(clip: Clip, prompts: Arc<dyn Prompts>, regulariser: PromptRegulariser) -> Self {
        let start = prompts.parameters();
        let scale = clip.logit_scale(&Injection::none()).into_scalar::<f64>().exp();
        let fixed_texts = (!prompts.reaches_texts())
            .then(|| normalise(clip.encode_embedded(&prompts.texts(&start), &Injection::none())));
        let frozen_images = FrozenImages::new(clip.clone());
        Self { clip, prompts, regulariser, start, scale, frozen_images, fixed_texts }
    }

    /// The same with other initial values.
    ///
    /// # Errors
    /// [`PromptError::Start`] unless names and shapes are those of the prompts.
    pub fn starting_from(self, start: Parameters) -> Result<Self, PromptError> {
        Ok(Self { start: start::checked(&self.start, start)?, ..self })
    }

    /// Unit text features, `[classes, embed]`.
    pub fn text_features(&self, parameters: &Parameters) -> Tensor<2> {
        match &self.fixed_texts {
            Some(features) => features.clone(),
            None => {
                let injection = self.injection(parameters);
                normalise(self.clip.encode_embedded(&self.prompts.texts(parameters), &injection))
            }
        }
    }

    /// Unit image features `[batch, embed]` of normalised pixels `[batch, 3, height, width]`.
    pub fn image_features(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        if self.prompts.reaches_images() {
            normalise(self.clip.encode_image(pixels, &self.injection(parameters)))
        } else {
            self.frozen_images.encode(pixels)
        }
    }

    fn injection(&self, parameters: &Parameters) -> Injection {
        self.prompts.inject(parameters, Injection::none())
    }

    fn classified(&self, image: Tensor<2>, text: Tensor<2>) -> BatchOutputs {
        let logits = image.clone().matmul(text.clone().transpose()) * self.scale;
        BatchOutputs { image, text, logits }
    }
}

impl Method for PromptLearning {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn prepare(&mut self, images: &ImageSet<'_>) {
        if self.regulariser.needs_frozen_images() || !self.prompts.reaches_images() {
            self.frozen_images.prepare(images);
        }
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        let image = if self.prompts.reaches_images() {
            self.image_features(parameters, batch.pixels.clone())
        } else {
            self.frozen_images.of(batch)
        };
        let prompted = self.classified(image, self.text_features(parameters));
        let frozen = |texts| self.classified(self.frozen_images.of(batch), texts);
        let entropy = cross_entropy(prompted.logits.clone(), batch.labels.clone()).mean();
        let supervised = Objective { loss: entropy, terms: Vec::new() };
        self.regulariser.added_to(supervised, prompted, frozen)
    }

    fn merged(&self, parameters: &Parameters) -> Result<Merged, NotMergeable> {
        if self.prompts.reaches_images() {
            return Err(NotMergeable::new(IMAGE_PROMPTS));
        }
        let classifier = PlainClassifier::Texts(self.text_features(parameters));
        Ok(Merged { weights: BTreeMap::new(), classifier })
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.predictor(parameters)(pixels)
    }

    fn predictor<'a>(&'a self, parameters: &'a Parameters) -> Box<dyn Fn(Tensor<4>) -> Tensor<2> + 'a> {
        let texts = self.text_features(parameters);
        Box::new(move |pixels| self.classified(self.image_features(parameters, pixels), texts.clone()).logits)
    }
}
