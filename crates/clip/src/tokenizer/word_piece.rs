//! BERT's tokenizer, from the list of tokens that its models come with.

use super::text_file::read_text;
use super::{Tokenizer, TokenizerError};
use serde_json::{Map, Value, json};
use std::path::Path;

const SOT: &str = "[CLS]";
const EOT: &str = "[SEP]";
const UNKNOWN: &str = "[UNK]";

impl Tokenizer {
    /// Reads `vocab.txt`, one token of BERT's WordPiece per line; the id of a token is the number of its
    /// line, from zero, and that of its last line if it has several. `lowercase` says whether texts are
    /// read in small letters and without accents. Texts start with `[CLS]` and end with `[SEP]`.
    ///
    /// # Errors
    /// [`TokenizerError`] if the file cannot be read or is too large, or has no `[CLS]`, `[SEP]` or
    /// `[UNK]`.
    pub fn from_word_piece(path: impl AsRef<Path>, lowercase: bool) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        let text = read_text(path)?;
        let tokens = text.lines().map(str::to_string);
        let vocabulary: Map<String, Value> = tokens.zip((0..).map(|id: u32| json!(id))).collect();
        for token in [SOT, EOT, UNKNOWN] {
            if !vocabulary.contains_key(token) {
                let reason = "is missing, which BERT's tokenizer needs".to_string();
                return Err(TokenizerError::Token { path: path.into(), token: token.into(), reason });
            }
        }
        let special = |content: &str| {
            let id = vocabulary.get(content)?;
            Some(json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true
            }))
        };
        let added: Vec<Value> =
            [SOT, EOT, UNKNOWN, "[PAD]", "[MASK]"].into_iter().filter_map(special).collect();
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": {
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": lowercase
            },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": {
                "type": "BertProcessing", "sep": [EOT, vocabulary.get(EOT)], "cls": [SOT, vocabulary.get(SOT)]
            },
            "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
            "model": {
                "type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocabulary
            }
        });
        Self::from_json(&format!("{tokenizer:#}\n"), path)
    }
}
