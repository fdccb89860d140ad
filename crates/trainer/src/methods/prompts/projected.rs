//! ProGrad: CoOp's context, trained along gradients that do not oppose the hand-written prompts.
//!
//! Zhu et al., "Prompt-aligned Gradient for Prompt Tuning", ICCV 2023; `ProGrad.public/trainers/prograd.py`. The
//! gradient of the cross-entropy loses its component against the gradient of the distillation from the zero-shot
//! prediction: [`without_opposed_part`]. The distillation itself is not minimised.

use burn::tensor::Tensor;
use regulus_clip::{Clip, Injection, normalise};
use regulus_kernels::computing_once;
use regulus_losses::{cross_entropy, distillation, inner_product, without_opposed_part};

use super::class_prompts::ClassPrompts;
use super::context::{CONTEXT, ContextPrompts};
use super::frozen_images::FrozenImages;
use super::learning::PromptLearning;
use super::{PromptError, PromptRegulariser};
use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable};
use crate::method::{Method, Objective, StepOutcome};
use crate::parameters::{LeafGradients, Parameters};

/// ProGrad's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProjectionSettings {
    /// Share of the opposed component that is removed, in [0, 1] (published: 1, for some data sets 0.8).
    pub lambda: f64,
    /// Softening of both distributions (published: 1).
    pub temperature: f64,
}

impl Default for ProjectionSettings {
    /// The published numbers.
    fn default() -> Self {
        Self { lambda: 1.0, temperature: 1.0 }
    }
}

/// A learned context under projected gradients. It predicts as CoOp does.
#[derive(Debug, Clone)]
pub struct ProjectedContext {
    learning: PromptLearning,
    images: FrozenImages,
    /// Unit features of the hand-written prompts, `[classes, embed]`.
    hand_written: Tensor<2>,
    scale: f64,
    settings: ProjectionSettings,
}

impl ProjectedContext {
    /// Learns `context` for `clip`. `hand_written` are the frozen model's text features of the zero-shot prediction,
    /// `[classes, embed]`, of any length.
    pub fn new(
        clip: Clip,
        context: ContextPrompts,
        hand_written: Tensor<2>,
        settings: ProjectionSettings,
    ) -> Self {
        let scale = clip.logit_scale(&Injection::none()).into_scalar::<f64>().exp();
        let images = FrozenImages::new(clip.clone());
        let learning = PromptLearning::new(clip, context, PromptRegulariser::None);
        Self { learning, images, hand_written: normalise(hand_written), scale, settings }
    }

    /// The same with other initial values.
    ///
    /// # Errors
    /// [`PromptError::Start`] unless names and shapes are those of the context.
    pub fn starting_from(self, start: Parameters) -> Result<Self, PromptError> {
        Ok(Self { learning: self.learning.starting_from(start)?, ..self })
    }

    /// `vectors` initial vectors for a context that is longer than the words of `written`: the first `words` words in
    /// the last places, zeros before them (`PromptLearner` of `trainers/prograd.py`).
    ///
    /// # Errors
    /// [`PromptError::NoSharedWords`] if there are no words, or the classes do not begin with the same ones.
    pub fn words_behind_zeros(
        written: &ClassPrompts,
        words: usize,
        vectors: usize,
    ) -> Result<Parameters, PromptError> {
        if words == 0 {
            return Err(PromptError::NoSharedWords { vectors, shared: 0 });
        }
        let words = written.first_words(words.min(vectors))?;
        let [count, width] = words.dims();
        let words = words.reshape([count * width]);
        let context = match vectors - count {
            0 => words,
            more => Tensor::cat(vec![Tensor::zeros([more * width], &words.device()), words], 0),
        };
        let mut start = Parameters::default();
        start.insert(CONTEXT, context, vec![vectors, width]);
        Ok(start)
    }

    /// Logits `[batch, classes]` of unit features of images and texts.
    fn classified(&self, images: Tensor<2>, texts: Tensor<2>) -> Tensor<2> {
        images.matmul(texts.transpose()) * self.scale
    }

    /// Cross-entropy under unit text features.
    fn task(&self, texts: Tensor<2>, batch: &Batch) -> Objective {
        let logits = self.classified(self.images.of(batch), texts);
        Objective { loss: cross_entropy(logits, batch.labels.clone()).mean(), terms: Vec::new() }
    }

    /// The gradient of the distillation from the zero-shot prediction, and its value.
    fn general(&self, tracked: &Parameters, texts: Tensor<2>, batch: &Batch) -> (LeafGradients, f64) {
        let images = self.images.of(batch);
        let student = self.classified(images.clone(), texts);
        let teacher = self.classified(images, self.hand_written.clone());
        let loss = distillation(student, teacher, self.settings.temperature).mean();
        (tracked.gradients_of(&loss), loss.into_scalar())
    }
}

impl Method for ProjectedContext {
    fn parameters(&self) -> Parameters {
        self.learning.parameters()
    }

    fn prepare(&mut self, images: &ImageSet<'_>) {
        self.images.prepare(images);
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        self.task(self.learning.text_features(parameters), batch)
    }

    /// One forward pass of the texts, differentiated for both objectives.
    fn step(&self, parameters: &Parameters, batch: &Batch) -> StepOutcome {
        let texts = || {
            let tracked = parameters.tracked();
            let features = self.learning.text_features(&tracked);
            (tracked, features)
        };
        let ((of_task, task), (of_general, general)) = computing_once(texts, texts);
        let mut outcome = StepOutcome::of(self.task(task, batch), &of_task);
        let (general, agreement) = self.general(&of_general, general, batch);
        let mut opposed = 0.0;
        for (name, task) in &mut outcome.gradients {
            let Some(general) = general.get(name) else { continue };
            let product = inner_product(task.clone(), general.clone()).into_scalar::<f64>();
            opposed += f64::from(u8::from(product < 0.0));
            *task = without_opposed_part(task.clone(), general.clone(), self.settings.lambda);
        }
        outcome.terms.extend([("distillation", agreement), ("opposed", opposed)]);
        outcome
    }

    fn merged(&self, parameters: &Parameters) -> Result<Merged, NotMergeable> {
        self.learning.merged(parameters)
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.learning.logits(parameters, pixels)
    }

    fn predictor<'a>(&'a self, parameters: &'a Parameters) -> Box<dyn Fn(Tensor<4>) -> Tensor<2> + 'a> {
        self.learning.predictor(parameters)
    }
}
