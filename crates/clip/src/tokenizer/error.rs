//! What can go wrong with a tokenizer and with a text.

use std::fmt;
use std::path::PathBuf;

/// A tokenizer that cannot be loaded or made.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file is longer than any vocabulary, or unpacks to more.
    #[error("{}: more than {limit} bytes of text, which no vocabulary has", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is read at most, in bytes.
        limit: u64,
    },
    /// The file is not a tokenizer that the `tokenizers` crate understands.
    #[error("{}: not a tokenizer of HF `tokenizers`: {reason}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of a list of merges or tokens is wrong.
    #[error("{}, line {line}: {reason}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from one.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A token of a vocabulary is missing or has no usable id.
    #[error("{}: the token {token:?} {reason}", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// The token.
        token: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer does not put one token before and one behind each text.
    #[error(
        "{}: an empty text becomes the ids {found:?}, expected one start and one end token", .path.display()
    )]
    NoStartAndEnd {
        /// The file.
        path: PathBuf,
        /// The ids of the empty text.
        found: Vec<u32>,
    },
    /// A word of a word-level vocabulary could never be found in a text.
    #[error("the word {word:?} cannot be in a vocabulary: {reason}")]
    Word {
        /// The word.
        word: String,
        /// Why not.
        reason: &'static str,
    },
}

/// A text that cannot be turned into ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizeError {
    /// The text does not fit the model's context.
    #[error("the text {} has {length} tokens with start and end, the model reads {context}", Shown(.text))]
    TooLong {
        /// The text.
        text: String,
        /// Its number of tokens, start and end included.
        length: usize,
        /// The model's context.
        context: usize,
    },
    /// A word is not in the vocabulary of a tokenizer that knows whole words only.
    #[error("the word {} of the text {} is not in the model's vocabulary", Shown(.word), Shown(.text))]
    UnknownWord {
        /// The word.
        word: String,
        /// The text.
        text: String,
    },
    /// The tokenizer fails for another reason.
    #[error("the text {} cannot be tokenized: {reason}", Shown(.text))]
    Failed {
        /// The text.
        text: String,
        /// What the `tokenizers` crate says.
        reason: String,
    },
}

/// A text in quotation marks, its start if it is too long for a message.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(400).and_then(|(end, _)| self.0.get(..end)) {
            Some(start) => write!(formatter, "{start:?}... ({} bytes)", self.0.len()),
            None => write!(formatter, "{:?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hold_a_whole_text_unless_it_is_huge() {
        let error =
            |text: &str| TokenizeError::TooLong { text: text.into(), length: 9, context: 5 }.to_string();
        assert_eq!(
            error("a \"b\""),
            r#"the text "a \"b\"" has 9 tokens with start and end, the model reads 5"#
        );
        let long = error(&"ü".repeat(1_000_000));
        assert!(long.len() < 1000 && long.contains("... (2000000 bytes)"), "{long}");
    }
}
