//! The tokenizer that a model folder brings along.

use super::text_file::read_text;
use super::{Tokenizer, TokenizerError};
use serde::Deserialize;
use std::path::Path;

/// OpenAI's list of merges, as its repository and its packages name it.
const OPENAI_FILES: [&str; 2] = ["bpe_simple_vocab_16e6.txt.gz", "bpe_simple_vocab_16e6.txt"];

/// What is read of `tokenizer_config.json`.
#[derive(Deserialize)]
struct Config {
    /// Whether BERT's tokenizer reads texts in small letters, as it does unless told otherwise.
    #[serde(default = "yes")]
    do_lower_case: bool,
}

fn yes() -> bool {
    true
}

impl Tokenizer {
    /// The tokenizer of a model folder, from the first of these that is there: `tokenizer.json`;
    /// `vocab.json` with `merges.txt`; OpenAI's `bpe_simple_vocab_16e6.txt.gz`, packed or not; BERT's
    /// `vocab.txt`, with `do_lower_case` of `tokenizer_config.json`. `None` if the folder has none of them:
    /// a CLIP model then has [`Self::openai`].
    ///
    /// # Errors
    /// [`TokenizerError`] if the file that is there is no tokenizer.
    pub fn from_folder(directory: impl AsRef<Path>) -> Result<Option<Self>, TokenizerError> {
        let file = |name| Some(directory.as_ref().join(name)).filter(|path| path.exists());
        let tokenizer = if let Some(path) = file("tokenizer.json") {
            Self::from_hf_file(path)?
        } else if let Some(path) = file("vocab.json") {
            Self::from_vocab_and_merges(path, directory.as_ref().join("merges.txt"))?
        } else if let Some(path) = OPENAI_FILES.into_iter().find_map(file) {
            Self::from_openai_file(path)?
        } else if let Some(path) = file("vocab.txt") {
            let lowercase = match file("tokenizer_config.json") {
                Some(path) => lowercase(&path)?,
                None => true,
            };
            Self::from_word_piece(path, lowercase)?
        } else {
            return Ok(None);
        };
        Ok(Some(tokenizer))
    }
}

fn lowercase(path: &Path) -> Result<bool, TokenizerError> {
    let text = read_text(path)?;
    let config: Config = serde_json::from_str(&text)
        .map_err(|error| TokenizerError::Format { path: path.into(), reason: error.to_string() })?;
    Ok(config.do_lower_case)
}
