//! CoOp's prompts: context vectors in the text, for all classes or for each class.
//!
//! Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV 2022; `trainers/coop.py`.

use std::ops::Range;

use burn::tensor::Tensor;
use regulus_clip::{Clip, EmbeddedTexts, Injection};

use super::class_prompts::{ClassPrompts, NamePosition};
use super::start::{ContextStart, add_random};
use super::{PromptError, Prompts};
use crate::methods::part::Part;
use crate::parameters::Parameters;

/// Name of the context vectors, as in the official code.
pub(super) const CONTEXT: &str = "ctx";

/// Which context vectors are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextSettings {
    /// Number of vectors.
    pub vectors: usize,
    /// Whether each class has vectors of its own.
    pub per_class: bool,
    /// Where the class name stands.
    pub position: NamePosition,
    /// What the vectors start from.
    pub start: ContextStart,
}

/// Context vectors `ctx`, `[vectors, width]` or `[classes, vectors, width]`.
#[derive(Debug, Clone)]
pub struct ContextPrompts {
    prompts: ClassPrompts,
    settings: ContextSettings,
    start: Parameters,
}

impl ContextPrompts {
    /// Context vectors in the place of the first words of `prompts`.
    ///
    /// # Errors
    /// [`PromptError`] if there is none, or no place for them.
    pub fn new(
        clip: &Clip,
        prompts: ClassPrompts,
        settings: ContextSettings,
        seed: u64,
    ) -> Result<Self, PromptError> {
        let ContextSettings { vectors, per_class, position, start } = settings;
        if vectors == 0 {
            return Err(PromptError::Nothing);
        }
        prompts.check_room(vectors, position)?;
        let mut parameters = Parameters::default();
        let (classes, width) = (prompts.classes(), clip.text.config().width);
        let shape = if per_class { vec![classes, vectors, width] } else { vec![vectors, width] };
        match start {
            ContextStart::Random => {
                add_random(&mut parameters, CONTEXT, shape, seed, &clip.device());
            }
            ContextStart::Words => {
                let words = prompts.first_words(vectors)?.reshape([vectors * width]);
                let copies = if per_class { classes } else { 1 };
                parameters.insert(CONTEXT, words.repeat_dim(0, copies), shape);
            }
        }
        Ok(Self { prompts, settings, start: parameters })
    }
}

impl Part for ContextPrompts {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn inject(&self, _: &Parameters, injection: Injection) -> Injection {
        injection
    }

    fn reaches_images(&self) -> bool {
        false
    }

    fn reaches_texts(&self) -> bool {
        true
    }
}

impl Prompts for ContextPrompts {
    fn classes(&self) -> usize {
        self.prompts.classes()
    }

    fn texts_of(&self, parameters: &Parameters, classes: Range<usize>) -> EmbeddedTexts {
        let leaf = &parameters[CONTEXT];
        let (contexts, texts): (Tensor<3>, Vec<_>) = if self.settings.per_class {
            let contexts = leaf.tensor::<3>().narrow(0, classes.start, classes.len());
            (contexts, classes.enumerate().map(|(set, class)| (class, set)).collect())
        } else {
            (leaf.tensor::<2>().unsqueeze(), classes.map(|class| (class, 0)).collect())
        };
        self.prompts.with_contexts(contexts, self.settings.position, &texts)
    }
}
