//! Texts as vectors of their words: where prompt learning enters a text other than behind its start token.
//!
//! Context vectors may stand before, around or behind a class name, differ between classes (Zhou et al. 2022,
//! CoOp) or between images (CoCoOp). Whoever learns them composes the vectors; the tower only reads them.

use crate::token_batch::TokenBatch;
use burn::tensor::Tensor;

/// Texts whose words have been looked up: what prompt learning changes before the tower reads it.
#[derive(Debug, Clone)]
pub struct EmbeddedTexts {
    /// Vector of each token, `[texts, length, width]`, without the positional embedding.
    vectors: Tensor<3>,
    /// Position of the end of each text, below `length`.
    ends: Vec<usize>,
}

impl EmbeddedTexts {
    /// The texts of a checked batch.
    pub(crate) fn of(vectors: Tensor<3>, tokens: &TokenBatch) -> Self {
        Self { vectors, ends: tokens.ends.clone() }
    }

    /// Texts from vectors of their tokens, the start token first.
    ///
    /// # Shapes
    /// - `vectors`: `[texts, length, width]`
    /// - `ends`: position of the end token of each text
    ///
    /// # Panics
    /// Unless there is one end per text, inside it.
    pub fn new(vectors: Tensor<3>, ends: Vec<usize>) -> Self {
        let [texts, length, _] = vectors.dims();
        assert_eq!(ends.len(), texts, "one end per text");
        assert!(ends.iter().all(|end| *end < length), "ends {ends:?} in texts of {length} positions");
        Self { vectors, ends }
    }

    /// Vector of each token, `[texts, length, width]`, without the positional embedding.
    pub fn vectors(&self) -> &Tensor<3> {
        &self.vectors
    }

    /// Position of the end of each text.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }
}
