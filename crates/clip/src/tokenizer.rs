//! Texts to token ids.
//!
//! The work is done by the `tokenizers` crate, which reads the same `tokenizer.json` as
//! `transformers` does. This module adds what it leaves open: a text that is too long, or a word
//! that a small vocabulary lacks, is an error that shows the text, never a silent cut; and CLIP's
//! tokenizer gives the ids of OpenAI's own code, from whatever file it comes.

mod byte_pairs;
mod byte_symbols;
mod clean;
mod code_pages;
mod damaged_utf8;
mod error;
mod fix_text;
mod folder;
mod html;
mod json_file;
mod merges;
mod mojibake;
mod mojibake_signs;
mod openai;
mod text_file;
mod word_level;
mod word_piece;

pub use error::{TokenizeError, TokenizerError};

use crate::formats::SaveError;
use json_file::{Parsed, parse};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use tokenizers::ModelWrapper;

/// A tokenizer that puts a start token before each text and an end token behind it.
///
/// CLIP's tokenizer, which is one of byte pairs with the tokens `<|startoftext|>` and `<|endoftext|>`,
/// gives the ids of OpenAI's code whatever file it comes from: texts are repaired, freed of HTML entities
/// and split as there, which `transformers` leaves out. Its ids differ from these where a text holds curly
/// quotation marks, entities, letters of full width and the like. A `tokenizer.json` with tokens of its own
/// besides, and every other kind of tokenizer, gives the ids of `transformers`.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    tokenizer: Arc<tokenizers::Tokenizer>,
    /// The contents of `tokenizer.json`, so that saving gives back what was loaded.
    json: Arc<str>,
    sot_id: u32,
    eot_id: u32,
    ids: usize,
    /// Whether texts are cleaned and split as OpenAI does.
    is_openai: bool,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. Truncation and padding that it asks for are ignored.
    ///
    /// # Errors
    /// [`TokenizerError`] if the file cannot be read, is no tokenizer, or one without start and
    /// end tokens.
    pub fn from_hf_file(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        let json = std::fs::read_to_string(path)
            .map_err(|source| TokenizerError::Read { path: path.into(), source })?;
        Self::from_json(&json, path)
    }

    /// The tokenizer that `json`, the contents of the file at `path`, describes.
    fn from_json(json: &str, path: &Path) -> Result<Self, TokenizerError> {
        let Parsed { tokenizer, empty, highest } =
            parse(json).map_err(|reason| TokenizerError::Format { path: path.into(), reason })?;
        let &[sot_id, eot_id] = empty.get_ids() else {
            return Err(TokenizerError::NoStartAndEnd { path: path.into(), found: empty.get_ids().to_vec() });
        };
        let highest = highest.into_iter().chain([sot_id, eot_id]).max();
        let ids = highest.map_or(0, |id| id as usize + 1);
        let is_openai = match tokenizer.get_model() {
            ModelWrapper::BPE(bpe) => openai::is_openai(&tokenizer, bpe, [sot_id, eot_id]),
            _ => false,
        };
        Ok(Self { tokenizer: Arc::new(tokenizer), json: json.into(), sot_id, eot_id, ids, is_openai })
    }

    /// The ids of a text from the start token to the end token, without padding.
    ///
    /// # Errors
    /// [`TokenizeError`] if there are more than `context` ids, or a word has none.
    pub fn encode(&self, text: &str, context: usize) -> Result<Vec<u32>, TokenizeError> {
        let ids = self.all_ids(text)?;
        if ids.len() > context {
            return Err(TokenizeError::TooLong { text: text.into(), length: ids.len(), context });
        }
        Ok(ids)
    }

    /// The ids of a text, as [`Self::encode`] gives them, except that a text that is too long is cut: the
    /// last of its `context` ids is the end token, as with `truncate=True` of OpenAI's code.
    ///
    /// # Errors
    /// [`TokenizeError`] if a word has no id.
    pub fn encode_truncated(&self, text: &str, context: usize) -> Result<Vec<u32>, TokenizeError> {
        let mut ids = self.all_ids(text)?;
        if ids.len() > context {
            ids.truncate(context);
            ids.iter_mut().last().into_iter().for_each(|last| *last = self.eot_id);
        }
        Ok(ids)
    }

    fn all_ids(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        match self.tokenizer.get_model() {
            ModelWrapper::BPE(bpe) if self.is_openai => {
                let ids = openai::ids(bpe, [self.sot_id, self.eot_id], text);
                let ids = ids.map_err(|error| self.explain(text, &error))?;
                Ok([self.sot_id].into_iter().chain(ids).chain([self.eot_id]).collect())
            }
            _ => {
                let encoding =
                    self.tokenizer.encode(text, true).map_err(|error| self.explain(text, &error))?;
                Ok(encoding.get_ids().to_vec())
            }
        }
    }

    /// The ids of each text, as [`Self::encode`] gives them.
    ///
    /// # Errors
    /// [`TokenizeError`] of the first text that fails.
    pub fn encode_batch<S: AsRef<str>>(
        &self,
        texts: &[S],
        context: usize,
    ) -> Result<Vec<Vec<u32>>, TokenizeError> {
        texts.iter().map(|text| self.encode(text.as_ref(), context)).collect()
    }

    /// The words of a text that a whole-word tokenizer reads as its token for unknown words. Always empty
    /// for tokenizers that spell unknown words out, as CLIP's does.
    pub fn unknown_words(&self, text: &str) -> Vec<String> {
        let ModelWrapper::WordLevel(model) = self.tokenizer.get_model() else { return Vec::new() };
        let Some(unknown) = self.tokenizer.token_to_id(&model.unk_token) else { return Vec::new() };
        let Ok(encoding) = self.tokenizer.encode(text, false) else { return Vec::new() };
        let ids = encoding.get_ids().iter().zip(encoding.get_offsets());
        let places = ids.filter(|(id, _)| **id == unknown).map(|(_, (start, end))| text.get(*start..*end));
        places.flatten().map(str::to_owned).collect()
    }

    /// Id of the token before each text.
    pub fn sot_id(&self) -> u32 {
        self.sot_id
    }

    /// Id of the token behind each text.
    pub fn eot_id(&self) -> u32 {
        self.eot_id
    }

    /// One more than the highest id: the least vocabulary that a model needs.
    pub fn ids(&self) -> usize {
        self.ids
    }

    /// The contents of `tokenizer.json`.
    pub(crate) fn json(&self) -> &str {
        &self.json
    }

    /// The contents of `tokenizer_config.json`, which tells `transformers` the class of the
    /// tokenizer and the names of its special tokens.
    pub(crate) fn hf_config(&self, context: usize) -> Result<String, SaveError> {
        let token = |id| self.tokenizer.id_to_token(id).unwrap_or_default();
        let end = token(self.eot_id);
        let is_clip = matches!(self.tokenizer.get_model(), ModelWrapper::BPE(_));
        let config = HfTokenizerConfig {
            bos_token: token(self.sot_id),
            eos_token: end.clone(),
            model_max_length: context,
            pad_token: end.clone(),
            processor_class: "CLIPProcessor",
            tokenizer_class: if is_clip { "CLIPTokenizer" } else { "PreTrainedTokenizerFast" },
            unk_token: is_clip.then_some(end),
        };
        Ok(serde_json::to_string_pretty(&config)? + "\n")
    }

    /// Why `text` has no ids: the first word that has none either, or what the crate says.
    fn explain(&self, text: &str, error: &tokenizers::Error) -> TokenizeError {
        let mut words = text.split(|c: char| c.is_whitespace() || c == '.');
        let unknown = words.find(|word| self.tokenizer.encode(*word, false).is_err());
        let text = text.to_string();
        match (self.tokenizer.get_model(), unknown) {
            (ModelWrapper::WordLevel(_), Some(word)) => {
                TokenizeError::UnknownWord { word: word.to_string(), text }
            }
            _ => TokenizeError::Failed { text, reason: error.to_string() },
        }
    }
}

#[derive(Serialize)]
struct HfTokenizerConfig {
    bos_token: String,
    eos_token: String,
    model_max_length: usize,
    pad_token: String,
    processor_class: &'static str,
    tokenizer_class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unk_token: Option<String>,
}
