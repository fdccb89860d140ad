//! OpenAI's tokenizer: from a text to the ids that its code gives.
//!
//! OpenAI cleans a text, splits it into pieces, writes each piece as bytes, and merges these. Merging is
//! the work of the `tokenizers` crate. The rest is done here, because the crate finds start and end tokens
//! before it splits, and reads letters and marks by other tables, which gives some texts other ids.

use super::byte_symbols;
use super::clean::clean;
use regex::Regex;
use std::sync::LazyLock;
use tokenizers::Model;
use tokenizers::models::bpe::BPE;

/// The token before each text.
pub(super) const SOT: &str = "<|startoftext|>";
/// The token behind each text.
pub(super) const EOT: &str = "<|endoftext|>";
/// What marks the last symbol of a word.
pub(super) const END_OF_WORD: &str = "</w>";

/// How OpenAI splits a text. Case is ignored, which matters for `ſ`, a kind of `s`, only. U+0345, the one
/// mark that is a form of a letter, is in no piece, as in Python's `regex`.
#[expect(clippy::expect_used, reason = "the expression is constant, every text compiles it")]
static PIECES: LazyLock<Regex> = LazyLock::new(|| {
    let expression = concat!(
        r"(?i:<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d)",
        r"|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+"
    );
    Regex::new(expression).expect("a regular expression")
});

/// The ids of a text between start and end, as OpenAI's tokenizer gives them.
pub(super) fn ids(bpe: &BPE, [sot_id, eot_id]: [u32; 2], text: &str) -> tokenizers::Result<Vec<u32>> {
    let mut ids = Vec::new();
    for piece in PIECES.find_iter(&clean(text)) {
        match piece.as_str() {
            SOT => ids.push(sot_id),
            EOT => ids.push(eot_id),
            piece => {
                let symbols: String = piece.bytes().map(byte_symbols::symbol).collect();
                ids.extend(bpe.tokenize(&symbols)?.into_iter().map(|token| token.id));
            }
        }
    }
    Ok(ids)
}

/// Whether a `tokenizer.json` is CLIP's tokenizer, of whatever vocabulary: byte pairs with CLIP's start,
/// end and end of a word, and no token of its own besides.
pub(super) fn is_openai(tokenizer: &tokenizers::Tokenizer, bpe: &BPE, [sot_id, eot_id]: [u32; 2]) -> bool {
    let is_token = |token: &str, id| tokenizer.token_to_id(token) == Some(id);
    let plain = bpe.dropout.is_none_or(|share| share == 0.0)
        && bpe.continuing_subword_prefix.as_deref().is_none_or(str::is_empty)
        && !(bpe.fuse_unk || bpe.byte_fallback || bpe.ignore_merges);
    let added = tokenizer.get_added_vocabulary().get_vocab().iter();
    plain
        && bpe.end_of_word_suffix.as_deref() == Some(END_OF_WORD)
        && is_token(SOT, sot_id)
        && is_token(EOT, eot_id)
        && added
            .into_iter()
            .all(|(token, id)| [SOT, EOT].contains(&&**token) || bpe.token_to_id(token) == Some(*id))
}
