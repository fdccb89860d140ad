//! Tokens of several texts, checked and grouped for BERT.
//!
//! A token enters with its id, its type and its position. Those that the attention mask drops do
//! not enter at all, which is what masked attention computes for the others.

use super::BertConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};
use std::collections::BTreeMap;

/// Tokens of several texts. Texts with equally many tokens that count are computed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BertBatch {
    texts: usize,
    length: usize,
    groups: Vec<Group>,
}

/// Texts with the same number of tokens that count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Group {
    /// Number of tokens of each text.
    tokens: usize,
    /// Indices of the texts in the batch.
    texts: Vec<usize>,
    /// `[texts * tokens]`, row by row; as `token_types` and `positions`.
    ids: Vec<i32>,
    token_types: Vec<i32>,
    positions: Vec<i32>,
}

/// Tokens that a BERT encoder cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BertBatchError {
    /// There is no text at all.
    #[error("no text was given, expected at least one")]
    Empty,
    /// Ids, mask and token types are not of equally many texts.
    #[error("ids of {ids} texts, masks of {mask} and token types of {token_types}: expected as many of each")]
    Texts {
        /// Number of rows of ids.
        ids: usize,
        /// Number of rows of the mask.
        mask: usize,
        /// Number of rows of token types.
        token_types: usize,
    },
    /// Ids, mask and token types of a text are not of one length.
    #[error(
        "text {text} has {ids} ids, {mask} mask values and {token_types} token types: expected as many of each"
    )]
    Lengths {
        /// Index of the text.
        text: usize,
        /// Number of ids.
        ids: usize,
        /// Number of mask values.
        mask: usize,
        /// Number of token types.
        token_types: usize,
    },
    /// No token of a text counts.
    #[error("text {text} has no token whose mask is 1, expected at least one")]
    NoToken {
        /// Index of the text.
        text: usize,
    },
    /// A text is longer than the encoder's context.
    #[error("text {text} has {length} tokens, the encoder reads at most {context}")]
    TooLong {
        /// Index of the text.
        text: usize,
        /// Number of its tokens up to the last that counts.
        length: usize,
        /// The encoder's context.
        context: usize,
    },
    /// An id is not in the encoder's vocabulary.
    #[error("text {text} holds the id {id}, the encoder's vocabulary has {vocab} ids")]
    OutsideVocabulary {
        /// Index of the text.
        text: usize,
        /// The id.
        id: u32,
        /// Number of ids.
        vocab: usize,
    },
    /// The encoder has no such token type.
    #[error("text {text} holds the token type {token_type}, the encoder has {token_types} types")]
    OutsideTokenTypes {
        /// Index of the text.
        text: usize,
        /// The token type.
        token_type: u32,
        /// Number of token types.
        token_types: usize,
    },
}

impl BertBatch {
    /// Texts without padding, all tokens of type 0.
    ///
    /// # Errors
    /// [`BertBatchError`] if there is no text, or one that the encoder cannot read.
    pub fn new(texts: &[Vec<u32>], config: &BertConfig) -> Result<Self, BertBatchError> {
        let constant = |value| texts.iter().map(|text| vec![value; text.len()]).collect::<Vec<_>>();
        Self::masked(texts, &constant(1), &constant(0), config)
    }

    /// Texts as `transformers`' tokenizers give them: ids, attention mask (0: the token does not
    /// count) and token types, one row per text. Rows may be padded, to any length; values of tokens
    /// that do not count are not read.
    ///
    /// # Errors
    /// [`BertBatchError`] if rows do not agree, if there is no text, or one that the encoder cannot
    /// read.
    pub fn masked(
        ids: &[Vec<u32>],
        mask: &[Vec<u32>],
        token_types: &[Vec<u32>],
        config: &BertConfig,
    ) -> Result<Self, BertBatchError> {
        if ids.len() != mask.len() || ids.len() != token_types.len() {
            let (ids, mask, token_types) = (ids.len(), mask.len(), token_types.len());
            return Err(BertBatchError::Texts { ids, mask, token_types });
        }
        if ids.is_empty() {
            return Err(BertBatchError::Empty);
        }
        let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
        for (text, ((ids, mask), token_types)) in ids.iter().zip(mask).zip(token_types).enumerate() {
            if ids.len() != mask.len() || ids.len() != token_types.len() {
                let (ids, mask, token_types) = (ids.len(), mask.len(), token_types.len());
                return Err(BertBatchError::Lengths { text, ids, mask, token_types });
            }
            let last = mask.iter().rposition(|value| *value != 0).ok_or(BertBatchError::NoToken { text })?;
            if last >= config.context {
                return Err(BertBatchError::TooLong { text, length: last + 1, context: config.context });
            }
            let tokens = mask.iter().filter(|value| **value != 0).count();
            let group = groups.entry(tokens).or_insert_with(|| Group { tokens, ..Group::default() });
            group.texts.push(text);
            for (position, ((&id, &mask), &token_type)) in ids.iter().zip(mask).zip(token_types).enumerate() {
                if mask != 0 {
                    group.push(text, id, token_type, position, config)?;
                }
            }
        }
        let length = ids.iter().map(Vec::len).max().unwrap_or(0);
        Ok(Self { texts: ids.len(), length, groups: groups.into_values().collect() })
    }

    /// Number of texts.
    pub fn texts(&self) -> usize {
        self.texts
    }

    /// Number of positions of the longest row, padding included.
    pub fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// One row per text, in the order of the batch.
    ///
    /// # Shapes
    /// - `rows`: `[texts of the group, width]` of each group
    /// - output: `[texts, width]`
    pub(crate) fn in_order(&self, rows: Vec<Tensor<2>>) -> Tensor<2> {
        let mut sources = vec![0; self.texts];
        let texts = self.groups.iter().flat_map(|group| &group.texts);
        for (row, &text) in texts.enumerate() {
            sources[text] = row as i32;
        }
        let rows = Tensor::cat(rows, 0);
        let sources = indices(&sources, &rows.device());
        rows.select(0, sources)
    }

    /// One row per token, at the place that it has in the batch, and 0 where no token counts.
    ///
    /// # Shapes
    /// - `states`: `[texts of the group, tokens, width]` of each group
    /// - output: `[texts, length, width]`
    pub(crate) fn rectangle(&self, states: Vec<Tensor<3>>) -> Tensor<3> {
        let mut rows: Vec<Tensor<2>> = states.into_iter().map(|state| state.flatten(0, 1)).collect();
        let tokens: usize = self.groups.iter().map(|group| group.ids.len()).sum();
        let mut sources = vec![tokens as i32; self.texts * self.length];
        let mut row = 0;
        for group in &self.groups {
            for (place, &position) in group.positions.iter().enumerate() {
                let text = group.texts[place / group.tokens];
                sources[text * self.length + position as usize] = row;
                row += 1;
            }
        }
        let [_, width] = rows[0].dims();
        let device = rows[0].device();
        rows.push(Tensor::zeros([1, width], &device));
        Tensor::cat(rows, 0).select(0, indices(&sources, &device)).reshape([self.texts, self.length, width])
    }
}

impl Group {
    pub(crate) fn texts(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    pub(crate) fn ids(&self, device: &Device) -> Tensor<1, Int> {
        indices(&self.ids, device)
    }

    pub(crate) fn token_types(&self, device: &Device) -> Tensor<1, Int> {
        indices(&self.token_types, device)
    }

    pub(crate) fn positions(&self, device: &Device) -> Tensor<1, Int> {
        indices(&self.positions, device)
    }

    /// Appends a token of `text` after checking it.
    fn push(
        &mut self,
        text: usize,
        id: u32,
        token_type: u32,
        position: usize,
        config: &BertConfig,
    ) -> Result<(), BertBatchError> {
        let BertConfig { vocab, token_types, .. } = *config;
        if id as usize >= vocab {
            return Err(BertBatchError::OutsideVocabulary { text, id, vocab });
        }
        if token_type as usize >= token_types {
            return Err(BertBatchError::OutsideTokenTypes { text, token_type, token_types });
        }
        self.ids.push(id as i32);
        self.token_types.push(token_type as i32);
        self.positions.push(position as i32);
        Ok(())
    }
}

fn indices(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}
