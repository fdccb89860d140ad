//! A tokenizer of whole words, for models of a small, closed world.
//!
//! The words come first; then the start token; then the end token as the highest id, so that
//! libraries which look for the highest id and those which look for the end token agree.

use super::{Tokenizer, TokenizerError};
use serde_json::{Map, json};
use std::collections::BTreeSet;
use std::path::Path;

const SOT: &str = "<sot>";
const EOT: &str = "<eot>";

impl Tokenizer {
    /// A tokenizer with one id per word, in the order given, then the start token `<sot>` and the
    /// end token `<eot>`, which also pads.
    ///
    /// Texts are lower-cased and split at white space and full stops, which have no ids. A word that is not
    /// in the list is an error, unless the list holds the word `<unk>`, as which it is then read; see
    /// [`Self::unknown_words`].
    ///
    /// # Errors
    /// [`TokenizerError::Word`] for a word that no text could contain, or that occurs twice.
    pub fn word_level(words: &[&str]) -> Result<Self, TokenizerError> {
        let mut seen = BTreeSet::from([SOT, EOT]);
        for word in words {
            let fault = |reason| TokenizerError::Word { word: word.to_string(), reason };
            if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c == '.') {
                return Err(fault("it is empty, or holds white space or a full stop"));
            }
            if word.to_lowercase() != *word {
                return Err(fault("texts are lower-cased"));
            }
            if !seen.insert(word) {
                return Err(fault("it is there already"));
            }
        }
        let (sot_id, eot_id) = (words.len(), words.len() + 1);
        let vocabulary: Map<String, serde_json::Value> = words
            .iter()
            .chain(&[SOT, EOT])
            .enumerate()
            .map(|(id, word)| (word.to_string(), json!(id)))
            .collect();
        let special = |content: &str, id: usize| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true
            })
        };
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [special(SOT, sot_id), special(EOT, eot_id)],
            "normalizer": { "type": "Lowercase" },
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    { "type": "WhitespaceSplit" },
                    { "type": "CharDelimiterSplit", "delimiter": "." }
                ]
            },
            "post_processor": {
                "type": "RobertaProcessing",
                "sep": [EOT, eot_id], "cls": [SOT, sot_id],
                "trim_offsets": false, "add_prefix_space": false
            },
            "decoder": null,
            // A name that is no word: an unknown word is an error, not a token.
            "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>" }
        });
        let path = Path::new("(word-level tokenizer)");
        let made = Self::from_json(&tokenizer.to_string(), path)?;
        // Written by the crate itself, whose order of fields and words is fixed.
        let json = made
            .tokenizer
            .to_string(true)
            .map_err(|error| TokenizerError::Format { path: path.into(), reason: error.to_string() })?;
        Ok(Self { json: (json + "\n").into(), ..made })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenizeError;

    #[test]
    fn words_come_first_then_start_then_end() {
        let tokenizer = Tokenizer::word_level(&["a", "cat", "of", "photo"]).unwrap();
        assert_eq!(tokenizer.encode("A photo  of a cat.", 16), Ok(vec![4, 0, 3, 2, 0, 1, 5]));
        assert_eq!((tokenizer.sot_id(), tokenizer.eot_id(), tokenizer.ids()), (4, 5, 6));
        assert_eq!(tokenizer.encode_batch(&["cat", ""], 16), Ok(vec![vec![4, 1, 5], vec![4, 5]]));
    }

    #[test]
    fn unknown_words_and_long_texts_are_named() {
        let tokenizer = Tokenizer::word_level(&["a", "cat"]).unwrap();
        let unknown = TokenizeError::UnknownWord { word: "Dog".into(), text: "a Dog.".into() };
        assert_eq!(tokenizer.encode("a Dog.", 16), Err(unknown));
        let long = TokenizeError::TooLong { text: "a cat a cat".into(), length: 6, context: 5 };
        assert_eq!(tokenizer.encode("a cat a cat", 5), Err(long));
        assert_eq!(tokenizer.encode("a cat a", 5).map(|ids| ids.len()), Ok(5));
    }

    #[test]
    fn a_vocabulary_with_unk_reads_every_word_and_names_the_unknown() {
        let tokenizer = Tokenizer::word_level(&["a", "cat", "<unk>"]).unwrap();
        assert_eq!(tokenizer.encode("a Dog cat.", 16), Ok(vec![3, 0, 2, 1, 4]));
        assert_eq!(tokenizer.unknown_words("a Dog, a cat."), ["Dog,"]);
        assert!(Tokenizer::word_level(&["a"]).unwrap().unknown_words("a Dog").is_empty());
    }

    #[test]
    fn words_that_no_text_contains_are_refused() {
        for words in [vec![""], vec!["two words"], vec!["Cat"], vec!["a", "a"], vec!["<eot>"], vec!["a."]] {
            assert!(matches!(Tokenizer::word_level(&words), Err(TokenizerError::Word { .. })), "{words:?}");
        }
    }
}
