//! CoCoOp: a context that depends on the image.
//!
//! Zhou et al., "Conditional Prompt Learning for Vision-Language Models", CVPR 2022; `trainers/cocoop.py`. A small
//! network, the meta-net, maps the unit feature of an image to a vector that is added to every context vector.

use burn::tensor::{Tensor, activation};
use regulus_clip::{Clip, Injection, normalise};

use super::PromptError;
use super::class_prompts::{ClassPrompts, NamePosition};
use super::context::CONTEXT;
use super::frozen_images::FrozenImages;
use super::start::{self, ContextStart, add_random};
use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable};
use crate::method::{Method, Objective};
use crate::methods::linear_layer::LinearLayer;
use crate::parameters::Parameters;

/// Texts that are encoded in one pass: there is one for each class and image.
const TEXTS_AT_ONCE: usize = 1024;

/// Which conditional context is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConditionalSettings {
    /// Number of context vectors.
    pub vectors: usize,
    /// Width of the meta-net's hidden layer; published: a sixteenth of the embedding's.
    pub hidden: usize,
    /// What the context vectors start from; the meta-net starts as PyTorch's linear layers.
    pub start: ContextStart,
}

/// Context vectors `ctx` `[vectors, width]` with the meta-net `linear1`, ReLU, `linear2`.
#[derive(Debug, Clone)]
pub struct ConditionalContext {
    clip: Clip,
    prompts: ClassPrompts,
    first: LinearLayer,
    second: LinearLayer,
    start: Parameters,
    scale: f64,
    images: FrozenImages,
}

impl ConditionalContext {
    /// A conditional context in the place of the first words of `prompts`.
    ///
    /// # Errors
    /// [`PromptError`] if there is none, or no place for it.
    pub fn new(
        clip: Clip,
        prompts: ClassPrompts,
        settings: ConditionalSettings,
        seed: u64,
    ) -> Result<Self, PromptError> {
        let ConditionalSettings { vectors, hidden, start } = settings;
        if vectors == 0 || hidden == 0 {
            return Err(PromptError::Nothing);
        }
        prompts.check_room(vectors, NamePosition::End)?;
        let (width, embed, device) = (clip.text.config().width, clip.embed_dim(), clip.device());
        let mut parameters = Parameters::default();
        match start {
            ContextStart::Random => {
                add_random(&mut parameters, CONTEXT, vec![vectors, width], seed, &device);
            }
            ContextStart::Words => {
                let words = prompts.first_words(vectors)?.reshape([vectors * width]);
                parameters.insert(CONTEXT, words, vec![vectors, width]);
            }
        }
        let first = LinearLayer { name: "meta_net.linear1".into(), inputs: embed, outputs: hidden };
        let second = LinearLayer { name: "meta_net.linear2".into(), inputs: hidden, outputs: width };
        first.add_to(&mut parameters, seed, &device);
        second.add_to(&mut parameters, seed, &device);
        let scale = clip.logit_scale(&Injection::none()).into_scalar::<f64>().exp();
        let images = FrozenImages::new(clip.clone());
        Ok(Self { clip, prompts, first, second, start: parameters, scale, images })
    }

    /// The same with other initial values.
    ///
    /// # Errors
    /// [`PromptError::Start`] unless names and shapes are those of this method.
    pub fn starting_from(self, start: Parameters) -> Result<Self, PromptError> {
        Ok(Self { start: start::checked(&self.start, start)?, ..self })
    }

    /// Logits `[batch, classes]` of unit image features `[batch, embed]`.
    fn classified(&self, parameters: &Parameters, features: Tensor<2>) -> Tensor<2> {
        let [batch, _] = features.dims();
        let at_once = (TEXTS_AT_ONCE / self.prompts.classes().max(1)).max(1);
        let logits = (0..batch).step_by(at_once).map(|first| {
            let part = features.clone().narrow(0, first, at_once.min(batch - first));
            self.classified_at_once(parameters, part)
        });
        Tensor::cat(logits.collect(), 0)
    }

    fn classified_at_once(&self, parameters: &Parameters, features: Tensor<2>) -> Tensor<2> {
        let [batch, embed] = features.dims();
        let hidden = activation::relu(self.first.forward(parameters, features.clone()));
        let shift: Tensor<3> = self.second.forward(parameters, hidden).unsqueeze_dim(1);
        let context: Tensor<3> = parameters[CONTEXT].tensor::<2>().unsqueeze();
        let classes = self.prompts.classes();
        let texts: Vec<(usize, usize)> =
            (0..batch).flat_map(|image| (0..classes).map(move |class| (class, image))).collect();
        let texts = self.prompts.with_contexts(context + shift, NamePosition::End, &texts);
        let texts = normalise(self.clip.encode_embedded(&texts, &Injection::none()));
        let texts = texts.reshape([batch, classes, embed]);
        let images: Tensor<3> = features.unsqueeze_dim(1);
        images.matmul(texts.swap_dims(1, 2)).squeeze_dim::<2>(1) * self.scale
    }
}

impl Method for ConditionalContext {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn prepare(&mut self, images: &ImageSet<'_>) {
        self.images.prepare(images);
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        let logits = self.classified(parameters, self.images.of(batch));
        let loss = regulus_losses::cross_entropy(logits, batch.labels.clone()).mean();
        Objective { loss, terms: Vec::new() }
    }

    fn merged(&self, _: &Parameters) -> Result<Merged, NotMergeable> {
        Err(NotMergeable::new("its texts depend on the image, and a plain model has one text for each class"))
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.classified(parameters, self.images.encode(pixels))
    }
}
