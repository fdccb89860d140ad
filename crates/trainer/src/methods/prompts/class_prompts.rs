//! Class prompts whose words give way to learned vectors.

use burn::tensor::{Int, Tensor, TensorData};
use regulus_clip::{Clip, EmbeddedTexts, Injection, TokenBatch};
use serde::{Deserialize, Serialize};

use super::PromptError;

/// Where the class name stands among the learned vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamePosition {
    /// Before all of them.
    Front,
    /// Behind the first half, rounded down.
    Middle,
    /// Behind all of them.
    #[default]
    End,
}

/// The prompts of all classes, with their words looked up in the frozen model. Behind the start token stand
/// placeholders for the learned vectors, then the class name, then what closes the text.
#[derive(Debug, Clone)]
pub struct ClassPrompts {
    words: EmbeddedTexts,
    /// Tokens of each class name.
    names: Vec<usize>,
    /// Words behind the start token that all classes have in common.
    shared: usize,
}

impl ClassPrompts {
    /// Prompts from tokens. `names` holds the number of tokens of each class name; only prompts whose name does not
    /// stand at the end read it.
    ///
    /// # Errors
    /// [`PromptError::Names`] unless there is one length per class.
    pub fn new(clip: &Clip, tokens: &TokenBatch, names: Vec<usize>) -> Result<Self, PromptError> {
        let classes = tokens.ends().len();
        if names.len() != classes {
            return Err(PromptError::Names { lengths: names.len(), classes });
        }
        let words = clip.embed_tokens(tokens, &Injection::none());
        Ok(Self { words, names, shared: tokens.common_start().saturating_sub(1) })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.names.len()
    }

    /// The prompts as they are written.
    pub fn written(&self) -> &EmbeddedTexts {
        &self.words
    }

    /// The vectors of the first words behind the start token, `[vectors, width]`.
    ///
    /// # Errors
    /// [`PromptError::NoSharedWords`] if the classes do not begin with the same words.
    pub(super) fn first_words(&self, vectors: usize) -> Result<Tensor<2>, PromptError> {
        if vectors > self.shared {
            return Err(PromptError::NoSharedWords { vectors, shared: self.shared });
        }
        Ok(self.words.vectors().clone().narrow(0, 0, 1).narrow(1, 1, vectors).squeeze_dim(0))
    }

    /// Checks that `vectors` learned vectors fit before the end of every text, with the class name where it has to
    /// keep a place of its own.
    pub(super) fn check_room(&self, vectors: usize, position: NamePosition) -> Result<(), PromptError> {
        for (class, (&end, &length)) in self.words.ends().iter().zip(&self.names).enumerate() {
            let name = if position == NamePosition::End { 0 } else { length };
            if vectors.saturating_add(name) >= end {
                return Err(PromptError::NoRoom { class, end, vectors, name });
            }
        }
        Ok(())
    }

    /// The prompts with learned vectors in the place of their first words (Zhou et al. 2022, section 3.2;
    /// `PromptLearner.forward` of `trainers/coop.py`): one text for each `(class, set)` of `texts`, of the class
    /// `class` and the vectors `contexts[set]`. The lengths of texts and the positions of their ends stay.
    ///
    /// # Shapes
    /// - `contexts`: `[sets, vectors, width]`
    ///
    /// # Panics
    /// If the vectors do not fit, which [`Self::check_room`] finds, or an index is out of range.
    pub(super) fn with_contexts(
        &self,
        contexts: Tensor<3>,
        position: NamePosition,
        texts: &[(usize, usize)],
    ) -> EmbeddedTexts {
        let [sets, vectors, width] = contexts.dims();
        let [_, length, _] = self.words.vectors().dims();
        let classes = || texts.iter().map(|(class, _)| *class);
        let first = classes().min().unwrap_or(0);
        let classes = classes().max().map_or(0, |last| last + 1 - first);
        let rows = texts.iter().flat_map(|&(class, set)| {
            let context = move |index: usize| set * vectors + index;
            let word = move |index: usize| sets * vectors + (class - first) * length + index;
            let name = self.names[class];
            let before = match position {
                NamePosition::Front => 0,
                NamePosition::Middle => vectors / 2,
                NamePosition::End => vectors,
            };
            (0..length).map(move |place| match place {
                0 => word(0),
                _ if place <= before => context(place - 1),
                _ if place <= before + name => word(place + vectors - before),
                _ if place <= vectors + name => context(place - 1 - name),
                _ => word(place),
            })
        });
        let rows: Vec<i32> = rows.map(|row| row as i32).collect();
        let words = self.words.vectors().clone().narrow(0, first, classes);
        let words = words.reshape([classes * length, width]);
        let table = Tensor::cat(vec![contexts.reshape([sets * vectors, width]), words], 0);
        let count = rows.len();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &table.device());
        let composed = table.select(0, rows).reshape([texts.len(), length, width]);
        let ends = texts.iter().map(|&(class, _)| self.words.ends()[class]).collect();
        // Texts of one set begin alike up to the class name, and up to where the words behind the vectors differ.
        let alike = match position {
            _ if sets > 1 => 0,
            NamePosition::Front => 0,
            NamePosition::Middle => vectors / 2,
            NamePosition::End => vectors.max(self.shared),
        };
        EmbeddedTexts::new(composed, ends).beginning_alike((1 + alike).min(length))
    }
}
