//! Texts as OpenAI's tokenizer reads them: repaired, without HTML entities, in small letters, with single
//! spaces.

use super::fix_text::fix_text;
use super::html::unescape;

/// The cleaned text.
pub(super) fn clean(text: &str) -> String {
    let text = unescape(&unescape(&fix_text(text)));
    // Python's `str.strip` takes four separators for white space that Unicode, and its `\s`, does not.
    let text = text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c));
    let mut spaced = String::with_capacity(text.len());
    for word in text.split(char::is_whitespace).filter(|word| !word.is_empty()) {
        if !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push_str(word);
    }
    spaced.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::fs;
    use std::path::Path;

    #[test]
    fn white_space_case_and_entities() {
        for (text, cleaned) in [
            (" \u{a0}\n", ""),
            ("\u{a0}A\t \u{3000}B\u{2028}", "a b"),
            ("ΟΔΥΣΣΕΥΣ İ ẞ", "οδυσσευς i̇ ß"),
            ("<b>cats &amp;amp; DOGS</b>", "<b>cats & dogs</b>"),
            ("&nbsp;x&nbsp;", "x"),
        ] {
            assert_eq!(clean(text), cleaned, "{text:?}");
        }
    }

    /// Both the texts of OpenAI's own code and the made corpus.
    #[test]
    fn recorded_texts_are_cleaned_as_recorded() {
        for name in ["strings.json", "clip.json"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokenizer").join(name);
            let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
            for case in cases {
                assert_eq!(Some(&*clean(case["text"].as_str().unwrap())), case["cleaned"].as_str(), "{case}");
            }
        }
    }
}
