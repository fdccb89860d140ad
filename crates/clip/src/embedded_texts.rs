//! Texts as vectors of their words: where prompt learning enters a text other than behind its start token.
//!
//! Context vectors may stand before, around or behind a class name, differ between classes (Zhou et al. 2022,
//! CoOp) or between images (CoCoOp). Whoever learns them composes the vectors; the tower only reads them.

use crate::token_batch::TokenBatch;
use burn::tensor::Tensor;
use std::ops::Range;

/// Texts whose words have been looked up: what prompt learning changes before the tower reads it.
#[derive(Debug, Clone)]
pub struct EmbeddedTexts {
    /// Vector of each token, `[texts, length, width]`, without the positional embedding.
    vectors: Tensor<3>,
    /// Position of the end of each text, below `length`.
    ends: Vec<usize>,
    /// Number of positions at the start where all texts are known to have the same vector.
    common: usize,
}

impl EmbeddedTexts {
    /// The texts of a checked batch.
    pub(crate) fn of(vectors: Tensor<3>, tokens: &TokenBatch) -> Self {
        Self { vectors, ends: tokens.ends.clone(), common: tokens.common_start() }
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
        Self { vectors, ends, common: 0 }
    }

    /// The same, known to have the same vectors at their first `positions` positions, whose hidden states are then
    /// computed once for all texts. The vectors of the first text are read for all.
    ///
    /// # Panics
    /// If the texts have not so many positions.
    #[must_use]
    pub fn beginning_alike(self, positions: usize) -> Self {
        let [_, length, _] = self.vectors.dims();
        assert!(positions <= length, "{positions} common positions in texts of {length}");
        Self { common: positions, ..self }
    }

    /// The texts of this range of them.
    ///
    /// # Panics
    /// If the range is empty or out of bounds.
    #[must_use]
    pub fn part(&self, texts: Range<usize>) -> Self {
        let vectors = self.vectors.clone().narrow(0, texts.start, texts.len());
        Self { vectors, ends: self.ends[texts].to_vec(), common: self.common }
    }

    /// Number of texts.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Number of positions at the start where all texts are known to have the same vector.
    pub fn common(&self) -> usize {
        self.common
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
