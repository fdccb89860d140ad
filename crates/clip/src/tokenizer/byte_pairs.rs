//! CLIP's vocabulary of byte pairs, from each form in which it comes to a tokenizer.

use super::merges::{Merge, parse};
use super::openai::{END_OF_WORD, EOT, SOT};
use super::text_file::{read_text, text_of};
use super::{Tokenizer, TokenizerError, byte_symbols};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

/// OpenAI's merges as a packed file in its format.
const MERGES: &[u8] = include_bytes!("../../assets/clip_merges.txt.gz");
/// How many merges OpenAI takes from its list, which is longer.
const MOST_MERGES: usize = 49_152 - 256 - 2;

/// How `transformers` splits a text.
const HF_PIECES: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

impl Tokenizer {
    /// OpenAI's tokenizer, which all its CLIP models share, from the merges that this crate holds.
    #[expect(clippy::expect_used, reason = "the merges are constant, every test of ids reads them")]
    pub fn openai() -> Self {
        static OPENAI: LazyLock<Tokenizer> = LazyLock::new(|| {
            let path = Path::new("(OpenAI's merges)");
            let text = text_of(MERGES.to_vec(), path).expect("packed text");
            Tokenizer::from_merges(&text, path).expect("a list of merges")
        });
        OPENAI.clone()
    }

    /// Reads OpenAI's own file, `bpe_simple_vocab_16e6.txt.gz`, packed or not: a header, then merges. As
    /// OpenAI does, the first 48,894 merges are taken; a shorter list gives a smaller vocabulary.
    ///
    /// The ids are those of the 256 bytes, the bytes at the end of a word, the merges, the start and the
    /// end.
    ///
    /// # Errors
    /// [`TokenizerError`] if the file cannot be read or is too large, or a line is no merge of symbols that
    /// are bytes or were made by the lines before, or makes a symbol for the second time.
    pub fn from_openai_file(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        Self::from_merges(&read_text(path)?, path)
    }

    fn from_merges(text: &str, path: &Path) -> Result<Self, TokenizerError> {
        let merges = parse(text, MOST_MERGES, path)?;
        let bytes = || byte_symbols::in_vocabulary_order();
        let symbols = bytes().map(String::from).chain(bytes().map(|byte| format!("{byte}{END_OF_WORD}")));
        let mut vocabulary: HashMap<String, u32> = symbols.zip(0..).collect();
        let mut ids = 512..;
        let mut add = |token: String, vocabulary: &mut HashMap<String, u32>| {
            let new = !vocabulary.contains_key(&token);
            vocabulary.extend(ids.next().map(|id| (token, id)));
            new
        };
        for merge in &merges {
            merge.check(&vocabulary, path)?;
            if !add(merge.token(), &mut vocabulary) {
                let reason = format!("{:?} is made by a line before, or is a byte", merge.token());
                return Err(TokenizerError::Line { path: path.into(), line: merge.line, reason });
            }
        }
        for token in [SOT, EOT] {
            if !add(token.to_string(), &mut vocabulary) {
                let reason = "is made of merges, but means the start or the end of a text".to_string();
                return Err(TokenizerError::Token { path: path.into(), token: token.into(), reason });
            }
        }
        Self::from_byte_pairs(&vocabulary, &merges, path)
    }

    /// Reads the two files of the tokenizers of HF `transformers` without `tokenizer.json`: `vocab.json`
    /// with the id of each token, and `merges.txt`. Start and end are the tokens `<|startoftext|>` and
    /// `<|endoftext|>`.
    ///
    /// # Errors
    /// [`TokenizerError`] if a file cannot be read or is too large, an id is no number or occurs twice,
    /// start or end are missing, or a merge is made of or makes a token that has no id.
    pub fn from_vocab_and_merges(
        vocab: impl AsRef<Path>,
        merges: impl AsRef<Path>,
    ) -> Result<Self, TokenizerError> {
        let (path, merges_path) = (vocab.as_ref(), merges.as_ref());
        let fault = |token: &str, reason: String| {
            Err(TokenizerError::Token { path: path.into(), token: token.into(), reason })
        };
        let entries: Map<String, Value> = serde_json::from_str(&read_text(path)?)
            .map_err(|error| TokenizerError::Format { path: path.into(), reason: error.to_string() })?;
        let (mut vocabulary, mut tokens) = (HashMap::new(), HashMap::new());
        for (token, id) in &entries {
            let Some(number) = id.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|id| *id < u32::MAX)
            else {
                return fault(token, format!("has {id} for an id, expected a whole number"));
            };
            if let Some(other) = tokens.insert(number, token) {
                return fault(token, format!("has the id {number}, and so has {other:?}"));
            }
            vocabulary.insert(token.clone(), number);
        }
        for token in [SOT, EOT] {
            if !vocabulary.contains_key(token) {
                return fault(token, "is missing, which starts or ends each text".to_string());
            }
        }
        let merges = parse(&read_text(merges_path)?, usize::MAX, merges_path)?;
        for merge in &merges {
            merge.check(&vocabulary, merges_path)?;
            if !vocabulary.contains_key(&merge.token()) {
                let reason = format!("it makes {:?}, which has no id in {}", merge.token(), path.display());
                return Err(TokenizerError::Line { path: merges_path.into(), line: merge.line, reason });
            }
        }
        Self::from_byte_pairs(&vocabulary, &merges, path)
    }

    /// CLIP's tokenizer with these ids, written as the `tokenizer.json` that `transformers` makes of them.
    fn from_byte_pairs(
        vocabulary: &HashMap<String, u32>,
        merges: &[Merge],
        path: &Path,
    ) -> Result<Self, TokenizerError> {
        let id = |token: &str| vocabulary.get(token).copied().unwrap_or_default();
        let special = |content: &str| {
            json!({
                "id": id(content), "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true
            })
        };
        // As lines, which every version of the `tokenizers` crate reads; pairs are read since 0.20 only.
        let merges: Vec<String> =
            merges.iter().map(|merge| format!("{} {}", merge.first, merge.second)).collect();
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [special(SOT), special(EOT)],
            "normalizer": {
                "type": "Sequence",
                "normalizers": [
                    { "type": "NFC" },
                    { "type": "Replace", "pattern": { "Regex": r"\s+" }, "content": " " },
                    { "type": "Lowercase" }
                ]
            },
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {
                        "type": "Split", "pattern": { "Regex": HF_PIECES },
                        "behavior": "Removed", "invert": true
                    },
                    { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true }
                ]
            },
            "post_processor": {
                "type": "RobertaProcessing",
                "sep": [EOT, id(EOT)], "cls": [SOT, id(SOT)],
                "trim_offsets": false, "add_prefix_space": false
            },
            "decoder": {
                "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true
            },
            "model": {
                "type": "BPE", "dropout": null, "unk_token": EOT, "continuing_subword_prefix": "",
                "end_of_word_suffix": END_OF_WORD, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": false, "vocab": vocabulary, "merges": merges
            }
        });
        Self::from_json(&format!("{tokenizer}\n"), path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(name: &str, contents: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, contents).unwrap();
        (folder, path)
    }

    #[test]
    fn the_vocabulary_is_openais() {
        let tokenizer = Tokenizer::openai();
        assert_eq!((tokenizer.sot_id(), tokenizer.eot_id(), tokenizer.ids()), (49406, 49407, 49408));
        assert_eq!(
            tokenizer.encode("a photo of a cat.", 77).unwrap(),
            [49406, 320, 1125, 539, 320, 2368, 269, 49407]
        );
    }

    #[test]
    fn what_is_saved_is_the_same_tokenizer() {
        let tokenizer = Tokenizer::openai();
        let saved = Tokenizer::from_json(tokenizer.json(), Path::new("x")).unwrap();
        let text = "Photos of “Cats” &amp; dogs' toys, naïve 😀 <|endoftext|>";
        assert_eq!(saved.encode(text, 77), tokenizer.encode(text, 77));
        assert!(saved.is_openai && saved.json() == tokenizer.json());
    }

    #[test]
    fn a_short_list_gives_a_small_vocabulary() {
        let (_folder, path) = write("merges.txt", "#version: 0.2\nc a\nca t</w>\n");
        let tokenizer = Tokenizer::from_openai_file(&path).unwrap();
        assert_eq!((tokenizer.sot_id(), tokenizer.eot_id(), tokenizer.ids()), (514, 515, 516));
        // `!` is byte 0x21, the first of the printable ones.
        assert_eq!(tokenizer.encode("CAT ca!", 77).unwrap(), [514, 513, 66, 64 + 256, 256, 515]);
    }

    #[test]
    fn merges_that_do_not_fit_are_named() {
        for (merges, line, part) in [
            ("#version\nc a\nba t", 3, "\"ba\""),
            ("#version\nc a\nc a", 3, "\"ca\""),
            ("#version\nc a\n c", 3, "two symbols"),
        ] {
            let (_folder, path) = write("merges.txt", merges);
            let error = Tokenizer::from_openai_file(&path).unwrap_err();
            assert!(matches!(error, TokenizerError::Line { line: at, .. } if at == line), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn files_that_contradict_each_other_are_named() {
        let vocab = r#"{"c":0,"a":1,"ca":2,"<|startoftext|>":3,"<|endoftext|>":4}"#;
        for (vocab, merges, part) in [
            (vocab.replace("\"ca\"", "\"cx\""), "#version\nc a", "line 2: it makes \"ca\""),
            (vocab.replace("\"c\"", "\"k\""), "#version\nc a", "\"c\""),
            (vocab.replace(":2", ":1"), "#version\n", "the token \"ca\" has the id 1, and so has \"a\""),
            (vocab.replace(":2", ":-2"), "#version\n", "the token \"ca\" has -2 for an id"),
            (vocab.replace("<|end", "<|no"), "#version\n", "the token \"<|endoftext|>\" is missing"),
        ] {
            let (folder, path) = write("vocab.json", &vocab);
            let merges_path = folder.path().join("merges.txt");
            fs::write(&merges_path, merges).unwrap();
            let error = Tokenizer::from_vocab_and_merges(&path, &merges_path).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let (folder, path) = write("vocab.json", vocab);
        let merges_path = folder.path().join("merges.txt");
        fs::write(&merges_path, "#version\nc a").unwrap();
        let tokenizer = Tokenizer::from_vocab_and_merges(&path, &merges_path).unwrap();
        // The vocabulary has no letter at the end of a word: unknown letters are read as the end token.
        assert_eq!(tokenizer.encode("caa", 77).unwrap(), [3, 2, 4, 4]);
    }
}
