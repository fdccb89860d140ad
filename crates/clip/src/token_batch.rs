//! Token ids of several texts, checked and laid out for the text tower.

use crate::config::{Pooling, TextConfig};

/// Token ids of several texts as one rectangle, with the position of each text's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    /// `[texts * length]`, row by row.
    pub(crate) ids: Vec<i32>,
    /// Number of texts.
    pub(crate) texts: usize,
    /// Number of positions of each row.
    pub(crate) length: usize,
    /// Position of the end of each text, below `length`.
    pub(crate) ends: Vec<usize>,
}

/// Token ids that a model cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenBatchError {
    /// There is no text at all.
    #[error("no text was given, expected at least one")]
    Empty,
    /// A text is longer than the model's context.
    #[error("text {text} has {length} tokens, the model reads at most {context}")]
    TooLong {
        /// Index of the text.
        text: usize,
        /// Its number of tokens.
        length: usize,
        /// The model's context.
        context: usize,
    },
    /// An id is not in the model's vocabulary.
    #[error("text {text} holds the id {id}, the model's vocabulary has {vocab} ids")]
    OutsideVocabulary {
        /// Index of the text.
        text: usize,
        /// The id.
        id: u32,
        /// Number of ids.
        vocab: usize,
    },
    /// The end-of-text token is missing, so that there is no position to read the feature from.
    #[error("text {text} lacks the end-of-text token {eot_id}")]
    NoEnd {
        /// Index of the text.
        text: usize,
        /// The id of the token.
        eot_id: u32,
    },
}

impl TokenBatch {
    /// The batch cut after the last end-of-text token.
    ///
    /// The tower is causal and only the end is read, so positions behind it cannot matter:
    /// features agree with those of the full context up to the order of floating-point sums.
    ///
    /// # Errors
    /// [`TokenBatchError`] if there is no text, or one that the model cannot read.
    pub fn new(texts: &[Vec<u32>], config: &TextConfig) -> Result<Self, TokenBatchError> {
        Self::with_length(texts, config, |ends| ends.iter().max().map_or(0, |end| end + 1))
    }

    /// The batch over the model's full context, as most libraries run it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn full_context(texts: &[Vec<u32>], config: &TextConfig) -> Result<Self, TokenBatchError> {
        Self::with_length(texts, config, |_| config.context)
    }

    /// The batch as long as its longest row, padding included: what was recorded is compared position by position.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn uncut(texts: &[Vec<u32>], config: &TextConfig) -> Result<Self, TokenBatchError> {
        Self::with_length(texts, config, |_| texts.iter().map(Vec::len).max().unwrap_or(0))
    }

    /// Position of the end of each text.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// Number of positions that the tower computes for each text.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Number of positions at the start where all texts have the same token.
    pub fn common_start(&self) -> usize {
        let first = self.ids.chunks(self.length.max(1)).next().unwrap_or_default();
        let agrees = |position: &usize| {
            let mut rows = self.ids.chunks(self.length.max(1));
            rows.all(|row| row.get(*position) == first.get(*position))
        };
        (0..self.length).take_while(agrees).count()
    }

    fn with_length(
        texts: &[Vec<u32>],
        config: &TextConfig,
        length: impl Fn(&[usize]) -> usize,
    ) -> Result<Self, TokenBatchError> {
        let ends = texts
            .iter()
            .enumerate()
            .map(|(index, text)| end_of_text(index, text, config))
            .collect::<Result<Vec<usize>, _>>()?;
        if ends.is_empty() {
            return Err(TokenBatchError::Empty);
        }
        let length = length(&ends);
        let padded = |text: &Vec<u32>| {
            let padding = std::iter::repeat(config.pad_id);
            text.clone().into_iter().chain(padding).take(length).map(|id| id as i32)
        };
        Ok(Self { ids: texts.iter().flat_map(padded).collect(), texts: texts.len(), length, ends })
    }
}

/// The position of the end of `text`, after checking all its ids.
fn end_of_text(index: usize, text: &[u32], config: &TextConfig) -> Result<usize, TokenBatchError> {
    if text.len() > config.context {
        let (length, context) = (text.len(), config.context);
        return Err(TokenBatchError::TooLong { text: index, length, context });
    }
    if let Some(&id) = text.iter().find(|&&id| id as usize >= config.vocab) {
        return Err(TokenBatchError::OutsideVocabulary { text: index, id, vocab: config.vocab });
    }
    let sought = match config.pooling {
        Pooling::FirstEot => Some(config.eot_id),
        Pooling::HighestId => text.iter().max().copied(),
    };
    text.iter()
        .position(|&id| Some(id) == sought)
        .ok_or(TokenBatchError::NoEnd { text: index, eot_id: config.eot_id })
}
