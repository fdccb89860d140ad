//! Learning prompts of any form, under any regulariser.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;
use regulus_clip::{Clip, EmbeddedTexts, Injection, normalise};
use regulus_losses::{BatchOutputs, cross_entropy};

use super::frozen_images::FrozenImages;
use super::regulariser::PromptRegulariser;
use super::{PromptError, class_parts, start};
use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable, PlainClassifier};
use crate::method::{Method, Objective, StepOutcome};
use crate::methods::part::Part;
use crate::parameters::Parameters;
use crate::zero_shot::FROZEN_TEXTS;

/// A form of prompts: vectors that enter the towers' layers as a [`Part`], and class texts that make room for them.
pub trait Prompts: Part {
    /// Number of classes.
    fn classes(&self) -> usize;

    /// The texts of a range of the classes, one per class.
    fn texts_of(&self, parameters: &Parameters, classes: Range<usize>) -> EmbeddedTexts;

    /// The texts of all classes.
    fn texts(&self, parameters: &Parameters) -> EmbeddedTexts {
        self.texts_of(parameters, 0..self.classes())
    }
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
    /// Number of classes.
    classes: usize,
    /// Classes whose texts a step computes at once, where it is not all.
    at_once: Option<usize>,
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
        let (classes, fixed) = (prompts.classes(), !prompts.reaches_texts());
        let frozen_images = FrozenImages::new(clip.clone());
        let learning = Self {
            clip,
            prompts,
            regulariser,
            start,
            scale,
            frozen_images,
            fixed_texts: None,
            classes,
            at_once: None,
        };
        let fixed_texts = fixed.then(|| learning.known_text_features(&learning.start));
        Self { fixed_texts, ..learning }
    }

    /// The same with steps that compute the texts of so many classes at a time: in less memory, and with one more
    /// forward pass of the texts.
    #[must_use]
    pub fn with_classes_at_once(self, classes: usize) -> Self {
        Self { at_once: (classes < self.classes).then_some(classes), ..self }
    }

    /// The same with other initial values.
    ///
    /// # Errors
    /// [`PromptError::Start`] unless names and shapes are those of the prompts.
    pub fn starting_from(self, start: Parameters) -> Result<Self, PromptError> {
        Ok(Self { start: start::checked(&self.start, start)?, ..self })
    }

    /// Unit text features, `[classes, embed]`, on the graph of tracked parameters.
    pub fn text_features(&self, parameters: &Parameters) -> Tensor<2> {
        match &self.fixed_texts {
            Some(features) => features.clone(),
            None => self.text_features_of(parameters, 0..self.classes),
        }
    }

    /// Unit text features of a range of the classes.
    fn text_features_of(&self, parameters: &Parameters, classes: Range<usize>) -> Tensor<2> {
        let texts = self.prompts.texts_of(parameters, classes);
        normalise(self.clip.encode_embedded(&texts, &self.injection(parameters)))
    }

    /// [`Self::text_features`] of parameters that are not tracked.
    fn known_text_features(&self, parameters: &Parameters) -> Tensor<2> {
        if let Some(features) = &self.fixed_texts {
            return features.clone();
        }
        let at_once = self.at_once.unwrap_or(FROZEN_TEXTS).min(FROZEN_TEXTS);
        class_parts::features(self.classes, at_once, |part| self.text_features_of(parameters, part))
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

    /// The objective under these text features.
    fn objective_under(&self, parameters: &Parameters, batch: &Batch, texts: Tensor<2>) -> Objective {
        let image = if self.prompts.reaches_images() {
            self.image_features(parameters, batch.pixels.clone())
        } else {
            self.frozen_images.of(batch)
        };
        let prompted = self.classified(image, texts);
        let frozen = |texts| self.classified(self.frozen_images.of(batch), texts);
        let entropy = cross_entropy(prompted.logits.clone(), batch.labels.clone()).mean();
        let supervised = Objective { loss: entropy, terms: Vec::new() };
        self.regulariser.added_to(supervised, prompted, frozen)
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
        self.objective_under(parameters, batch, self.text_features(parameters))
    }

    fn step(&self, parameters: &Parameters, batch: &Batch) -> StepOutcome {
        match self.at_once.filter(|_| self.fixed_texts.is_none()) {
            None => {
                let tracked = parameters.tracked();
                StepOutcome::of(self.objective(&tracked, batch), &tracked)
            }
            Some(at_once) => class_parts::step(
                parameters,
                self.classes,
                at_once,
                |parameters, part| self.text_features_of(parameters, part),
                |tracked, texts| self.objective_under(tracked, batch, texts),
            ),
        }
    }

    fn merged(&self, parameters: &Parameters) -> Result<Merged, NotMergeable> {
        if self.prompts.reaches_images() {
            return Err(NotMergeable::new(IMAGE_PROMPTS));
        }
        let classifier = PlainClassifier::Texts(self.known_text_features(parameters));
        Ok(Merged { weights: BTreeMap::new(), classifier })
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.predictor(parameters)(pixels)
    }

    fn predictor<'a>(&'a self, parameters: &'a Parameters) -> Box<dyn Fn(Tensor<4>) -> Tensor<2> + 'a> {
        let texts = self.known_text_features(parameters);
        Box::new(move |pixels| self.classified(self.image_features(parameters, pixels), texts.clone()).logits)
    }
}
