//! Ids against recorded ones: OpenAI's code, its restatement in Python, and `transformers`.

use proptest::prelude::*;
use regulus_clip::{TokenizeError, Tokenizer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

const CONTEXT: usize = 77;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokenizer")
}

fn recorded<T: DeserializeOwned>(name: &str) -> Vec<T> {
    serde_json::from_str(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

/// A text as OpenAI's code reads it.
#[derive(Deserialize)]
struct OpenAi {
    text: String,
    /// With zeros to the full context, cut if the text is too long.
    ids: Vec<u32>,
    /// Where the text tower looks for the end: at the first of the highest ids.
    eot: usize,
    length_untruncated: usize,
    too_long: bool,
}

/// A text of the made corpus, with all its ids.
#[derive(Deserialize)]
struct Made {
    text: String,
    ids: Vec<u32>,
}

/// The texts of `strings.json` whose ids differ from OpenAI's, by their place. There are none.
const EXCEPTIONS: [usize; 0] = [];

#[test]
fn ids_are_openais() {
    let tokenizer = Tokenizer::openai();
    let cases: Vec<OpenAi> = recorded("strings.json");
    assert_eq!(cases.len(), 231);
    let differs = |case: &OpenAi| {
        let cut = tokenizer.encode_truncated(&case.text, CONTEXT).unwrap();
        let end = cut.iter().position(|id| *id == tokenizer.eot_id());
        let mut padded = cut;
        padded.resize(CONTEXT, 0);
        padded != case.ids || end != Some(case.eot)
    };
    let found: Vec<usize> =
        (0..).zip(&cases).filter(|(_, case)| differs(case)).map(|(place, _)| place).collect();
    assert_eq!(found, EXCEPTIONS);
}

#[test]
fn a_text_that_is_too_long_is_an_error_with_its_length() {
    let tokenizer = Tokenizer::openai();
    for case in recorded::<OpenAi>("strings.json") {
        let length = case.length_untruncated;
        match tokenizer.encode(&case.text, CONTEXT) {
            Ok(ids) => assert_eq!((ids.len(), case.too_long), (length, false)),
            Err(error) => {
                assert!(case.too_long);
                assert_eq!(error, TokenizeError::TooLong { text: case.text, length, context: CONTEXT });
            }
        }
    }
}

#[test]
fn a_broad_corpus_has_openais_ids() {
    let tokenizer = Tokenizer::openai();
    let cases: Vec<Made> = recorded("clip.json");
    assert!(cases.len() > 300);
    let differ: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            let ids = tokenizer.encode(&case.text, usize::MAX).unwrap();
            (ids != case.ids).then_some((&case.text, ids, &case.ids))
        })
        .collect();
    assert!(differ.is_empty(), "{} of {}: {differ:?}", differ.len(), cases.len());
}

#[test]
fn truncated_texts_end_with_the_end_token() {
    let tokenizer = Tokenizer::openai();
    let cut = |context| tokenizer.encode_truncated("a photo of a cat", context).unwrap();
    assert_eq!(cut(7), [49406, 320, 1125, 539, 320, 2368, 49407]);
    assert_eq!(cut(4), [49406, 320, 1125, 49407]);
    assert_eq!((cut(1), cut(0)), (vec![49407], vec![]));
}

#[test]
fn openais_file_gives_the_same_ids() {
    let openai = Tokenizer::openai();
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/clip_merges.txt.gz");
    let from_merges = Tokenizer::from_openai_file(&packed).unwrap();
    for case in recorded::<Made>("clip.json").iter().step_by(7) {
        assert_eq!(from_merges.encode(&case.text, usize::MAX), openai.encode(&case.text, usize::MAX));
    }
}

#[derive(Deserialize)]
struct Bert {
    lowercase: bool,
    text: String,
    ids: Vec<u32>,
}

#[test]
fn word_pieces_are_berts() {
    let [cased, uncased] = [false, true]
        .map(|lower| Tokenizer::from_word_piece(folder().join("bert_vocab.txt"), lower).unwrap());
    assert_eq!((cased.sot_id(), cased.eot_id()), (2, 3));
    let cases: Vec<Bert> = recorded("bert.json");
    assert_eq!(cases.len(), 24);
    for case in cases {
        let tokenizer = if case.lowercase { &uncased } else { &cased };
        assert_eq!(tokenizer.encode(&case.text, usize::MAX).unwrap(), case.ids, "{:?}", case.text);
    }
}

/// Neither words without end nor faults inside faults take more than linear time.
#[test]
fn long_texts_are_read_in_seconds() {
    let tokenizer = Tokenizer::openai();
    let units = [
        "x",
        "ab ",
        "é",
        "&amp;",
        "amp;&",
        "Ã©",
        "Ã",
        "1",
        "<",
        "\u{1b}[1;",
        "&#",
        "â€",
        "\n",
        "'",
        "\u{301}\u{323}",
    ];
    let mut texts = units.map(|unit| unit.repeat(300_000 / unit.len())).to_vec();
    texts.push(format!("&{}", "amp;".repeat(75_000)));
    for text in texts {
        let start = Instant::now();
        let cut = tokenizer.encode_truncated(&text, CONTEXT).unwrap();
        let (seconds, begin) = (start.elapsed().as_secs(), text.chars().take(6).collect::<String>());
        assert!(cut.len() <= CONTEXT && seconds < 20, "{begin:?}: {seconds} s");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_has_ids_in_the_vocabulary(text in any::<String>(), context in 0..20_usize) {
        let tokenizer = Tokenizer::openai();
        let ids = tokenizer.encode(&text, usize::MAX).unwrap();
        prop_assert!(ids.len() >= 2 && ids.iter().all(|id| (*id as usize) < tokenizer.ids()));
        prop_assert!(tokenizer.encode_truncated(&text, context).unwrap().len() <= context);
    }

    #[test]
    fn texts_of_what_is_repaired_never_panic(parts in prop::collection::vec(prop::sample::select(vec![
        "&", "#", "x", "amp", ";", "&eacute", "1", "Ã", "©", "â", "€", "™", "\u{80}", "\u{fffd}", "?", " ",
        "\u{a0}", "ð", "Ÿ", "˜", "<", "|", "endoftext", ">", "\u{1b}", "[", "m", "í", "½", "¸", "\u{1a}", "À",
        "\n", "'", "S",
    ]), 0..30)) {
        prop_assert!(Tokenizer::openai().encode(&parts.concat(), usize::MAX).is_ok());
    }
}
