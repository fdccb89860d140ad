//! `tokenizer.json` to a tokenizer of the `tokenizers` crate.
//!
//! The crate copies the vocabulary of a file and its list of merges some five times before it uses them, which takes
//! longer than reading the weights of the model. So those of byte pairs, which CLIP has, are handed to it as they are
//! parsed. Whatever is not exactly as expected goes the crate's own way, and so does whatever fails, so that it is the
//! crate that says what is wrong.

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, Encoding, Tokenizer};

/// A tokenizer, and what it makes of an empty text.
pub(super) struct Parsed {
    pub(super) tokenizer: Tokenizer,
    pub(super) empty: Encoding,
    /// The highest id of the vocabulary, tokens that are added to it included.
    pub(super) highest: Option<u32>,
}

/// The tokenizer that `json` describes, without truncation and padding, or what is wrong with it.
pub(super) fn parse(json: &str) -> Result<Parsed, String> {
    match byte_pairs(json) {
        Some(parsed) => Ok(parsed),
        None => any(json),
    }
}

/// As the crate reads it.
fn any(json: &str) -> Result<Parsed, String> {
    let mut description: Map<String, Value> =
        serde_json::from_str(json).map_err(|error| error.to_string())?;
    // `tokenizers` 0.22 panics on a malformed decoder, which encoding does not need, and on a
    // malformed table of SentencePiece, which neither CLIP nor BERT uses.
    description.remove("decoder");
    if description.get("normalizer").is_some_and(is_precompiled) {
        return Err("a precompiled normalizer is not supported".to_string());
    }
    // It cuts merges off at the length of this prefix, which neither CLIP nor BERT's byte pairs have.
    let model = description.get("model");
    let prefix = model.and_then(|model| model.get("continuing_subword_prefix")?.as_str());
    let has_merges = model.is_some_and(|model| model.get("merges").is_some());
    if has_merges && prefix.is_some_and(|prefix| !prefix.is_empty()) {
        return Err("merges with a `continuing_subword_prefix` are not supported".to_string());
    }
    let description = serde_json::to_vec(&description).map_err(|error| error.to_string())?;
    let (tokenizer, empty) = guarded(|| Tokenizer::from_bytes(description))?;
    let highest = tokenizer.get_vocab(true).into_values().max();
    Ok(Parsed { tokenizer, empty, highest })
}

/// The tokenizer, if it is one of byte pairs without anything unusual. What this makes is what [`any`] makes.
fn byte_pairs(json: &str) -> Option<Parsed> {
    let description: Description = serde_json::from_str(json).ok()?;
    let Model { dropout, continuing_subword_prefix: prefix, vocab, merges, .. } = description.model;
    let normalizer = description.normalizer;
    let has_prefix = prefix.as_ref().is_some_and(|prefix| !prefix.is_empty());
    if has_prefix || dropout.is_some() || normalizer.as_ref().is_some_and(is_precompiled) {
        return None;
    }
    let highest = vocab.values().max().copied();
    let mut builder = BPE::builder().vocab_and_merges(vocab, merges.0);
    if let Some(prefix) = prefix {
        builder = builder.continuing_subword_prefix(prefix);
    }
    if let Some(token) = description.model.unk_token {
        builder = builder.unk_token(token);
    }
    if let Some(suffix) = description.model.end_of_word_suffix {
        builder = builder.end_of_word_suffix(suffix);
    }
    if let Some(fuse_unk) = description.model.fuse_unk {
        builder = builder.fuse_unk(fuse_unk);
    }
    if let Some(byte_fallback) = description.model.byte_fallback {
        builder = builder.byte_fallback(byte_fallback);
    }
    if let Some(ignore_merges) = description.model.ignore_merges {
        builder = builder.ignore_merges(ignore_merges);
    }
    let model = builder.build().ok()?;
    // All the rest is small, and read by the crate. Tokens are added to a model that knows its own.
    let rest = json!({
        "version": description.version,
        "truncation": description.truncation,
        "padding": description.padding,
        "normalizer": normalizer,
        "pre_tokenizer": description.pre_tokenizer,
        "post_processor": description.post_processor,
        "model": { "type": "BPE", "vocab": {}, "merges": [] },
    });
    let tokens: Option<Vec<AddedToken>> = description.added_tokens.into_iter().map(added_token).collect();
    let tokens = tokens?;
    let (tokenizer, empty) = guarded(|| {
        let mut tokenizer = Tokenizer::from_bytes(rest.to_string())?;
        tokenizer.with_model(model);
        tokenizer.add_tokens(&tokens);
        Ok(tokenizer)
    })
    .ok()?;
    let added = tokenizer.get_added_vocabulary().get_vocab().values().copied().max();
    Some(Parsed { tokenizer, empty, highest: highest.max(added) })
}

/// What `make` makes, without truncation and padding, and the ids of an empty text. The last resort against what is not
/// known of yet: a damaged file must not end a program.
fn guarded(make: impl FnOnce() -> tokenizers::Result<Tokenizer>) -> Result<(Tokenizer, Encoding), String> {
    let read = || -> tokenizers::Result<(Tokenizer, Encoding)> {
        let mut tokenizer = make()?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None)?;
        let empty = tokenizer.encode("", true)?;
        Ok((tokenizer, empty))
    };
    catch_unwind(AssertUnwindSafe(read))
        .map_err(|_| "the `tokenizers` crate broke off".to_string())?
        .map_err(|error| error.to_string())
}

fn is_precompiled(normalizer: &Value) -> bool {
    normalizer.to_string().contains("\"Precompiled\"")
}

/// A token beside those of the model, if it is complete.
fn added_token(token: Value) -> Option<AddedToken> {
    let id = token.get("id")?.as_u64()?;
    u32::try_from(id).ok()?;
    serde_json::from_value(token).ok()
}

/// A `tokenizer.json` of byte pairs. What may be missing is what the crate has a default for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    version: String,
    truncation: Option<Value>,
    padding: Option<Value>,
    added_tokens: Vec<Value>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    #[serde(rename = "decoder")]
    _decoder: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    #[serde(rename = "type")]
    _kind: Kind,
    dropout: Option<Value>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    fuse_unk: Option<bool>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
    vocab: Vocab,
    merges: Merges,
}

#[derive(Deserialize)]
enum Kind {
    #[serde(rename = "BPE")]
    BytePairs,
}

/// Merges as pairs, or all of them as lines of two symbols, as they were written before.
struct Merges(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(MergesVisitor)
    }
}

struct MergesVisitor;

impl<'de> Visitor<'de> for MergesVisitor {
    type Value = Merges;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of merges")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merges, A::Error> {
        let mut merges = Vec::new();
        let mut first_is_line = None;
        while let Some(Merge { pair, is_line }) = list.next_element()? {
            if *first_is_line.get_or_insert(is_line) != is_line {
                return Err(A::Error::custom("merges of two forms"));
            }
            merges.push(pair);
        }
        Ok(Merges(merges))
    }
}

struct Merge {
    pair: (String, String),
    is_line: bool,
}

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MergeVisitor)
    }
}

struct MergeVisitor;

impl<'de> Visitor<'de> for MergeVisitor {
    type Value = Merge;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a merge of two symbols")
    }

    fn visit_str<E: Error>(self, line: &str) -> Result<Merge, E> {
        match line.split_once(' ') {
            Some((first, second)) if !second.contains(' ') && !line.starts_with("#version") => {
                Ok(Merge { pair: (first.to_owned(), second.to_owned()), is_line: true })
            }
            _ => Err(E::custom("no two symbols")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut symbols: A) -> Result<Merge, A::Error> {
        match (symbols.next_element()?, symbols.next_element()?, symbols.next_element::<IgnoredAny>()?) {
            (Some(first), Some(second), None) => Ok(Merge { pair: (first, second), is_line: false }),
            _ => Err(A::Error::custom("no two symbols")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small file, and edits of it.
    fn file(edit: impl Fn(&mut Value)) -> String {
        let special = |id: u32, content: &str| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true
            })
        };
        let mut value = json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [special(4, "<s>"), special(5, "</s>"), special(77, "<new>")],
            "normalizer": { "type": "Lowercase" },
            "pre_tokenizer": { "type": "Whitespace" },
            "post_processor": {
                "type": "RobertaProcessing", "sep": ["</s>", 5], "cls": ["<s>", 4],
                "trim_offsets": false, "add_prefix_space": false
            },
            "decoder": null,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": "</s>", "continuing_subword_prefix": "",
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": { "a": 0, "b": 1, "ab": 2, "aba": 3, "<s>": 4, "</s>": 5 },
                "merges": [["a", "b"], ["ab", "a"]]
            }
        });
        edit(&mut value);
        value.to_string()
    }

    #[test]
    fn both_ways_give_the_same_tokenizer() {
        let edits: [fn(&mut Value); 5] = [
            |_| {},
            |file| file["model"]["merges"] = json!(["a b", "ab a"]),
            |file| file["added_tokens"] = json!([]),
            |file| file["model"]["unk_token"] = Value::Null,
            |file| file["model"]["ignore_merges"] = true.into(),
        ];
        for edit in edits {
            let json = file(edit);
            let (ours, crates) = (byte_pairs(&json).unwrap(), any(&json).unwrap());
            assert_eq!(ours.tokenizer.to_string(false).unwrap(), crates.tokenizer.to_string(false).unwrap());
            assert_eq!((ours.highest, ours.empty.get_ids()), (crates.highest, crates.empty.get_ids()));
            for text in ["aba ABB <new>", "", "</s> c aabb<s>"] {
                let ids = |parsed: &Parsed| parsed.tokenizer.encode(text, true).unwrap().get_ids().to_vec();
                assert_eq!(ids(&ours), ids(&crates), "{text}");
            }
        }
    }

    #[test]
    fn what_is_unusual_goes_the_crates_way() {
        let edits: [fn(&mut Value); 9] = [
            |file| file["model"]["type"] = "WordLevel".into(),
            |file| file["model"]["dropout"] = 0.1.into(),
            |file| file["model"]["continuing_subword_prefix"] = "##".into(),
            |file| file["model"]["merges"] = json!(["a b", ["ab", "a"]]),
            |file| file["model"]["merges"] = json!([["a", "b", "c"]]),
            |file| file["model"]["merges"] = json!([["a", "x"]]),
            |file| file["model"]["vocab"]["a"] = (-1).into(),
            |file| file["added_tokens"][0]["id"] = Value::Null,
            |file| file["normalizer"] = json!({ "type": "Precompiled" }),
        ];
        for edit in edits {
            assert!(byte_pairs(&file(edit)).is_none(), "{}", file(edit));
        }
        assert!(byte_pairs(&file(|_| {})[1..]).is_none());
    }
}
