//! What OpenAI's tokenizer repairs in a text before it reads it: mojibake, curly quotation marks,
//! ligatures, full-width letters, control characters, and the forms of letters with accents.
//!
//! OpenAI calls the function `fix_text` of the Python library ftfy. Here is what version 6.3 of it does, in
//! the same order, so that the same ids come out.

use super::code_pages::windows_1252;
use super::html;
use super::mojibake::{fix_encoding, is_c1};
use regex::Regex;
use std::sync::LazyLock;
use unicode_normalization::UnicodeNormalization;

/// The longest piece that is repaired in one go, in characters, where a line is longer.
const SEGMENT: usize = 1_000_000;

/// The repaired text.
pub(super) fn fix_text(text: &str) -> String {
    let mut work = Work::new(text);
    let mut fixed = String::with_capacity(text.len());
    // A text with tags may mean its entities as they are.
    let mut entities = true;
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while !rest.is_empty() {
            let end = rest.char_indices().nth(SEGMENT).map_or(rest.len(), |(place, _)| place);
            let (segment, behind) = rest.split_at(end);
            entities = entities && !segment.contains('<');
            fixed.push_str(&fix_segment(segment, entities, &mut work));
            rest = behind;
        }
    }
    fixed
}

/// Bytes that may still be looked at.
///
/// Each repair can make another one possible, and is tried until nothing changes. Text that nests its
/// faults would make that quadratic; the work is bounded instead, by far more than text that anybody wrote
/// needs.
pub(super) struct Work {
    bytes: usize,
}

impl Work {
    const LEAST: usize = 1 << 20;
    const PASSES: usize = 64;

    fn new(text: &str) -> Self {
        Self { bytes: text.len().saturating_mul(Self::PASSES).max(Self::LEAST) }
    }

    /// Whether a text of that length may be looked at once more.
    pub(super) fn spend(&mut self, length: usize) -> bool {
        let rest = self.bytes.checked_sub(length);
        self.bytes = rest.unwrap_or(0);
        rest.is_some()
    }
}

fn fix_segment(segment: &str, entities: bool, work: &mut Work) -> String {
    let mut text = segment.to_string();
    while work.spend(text.len()) {
        let decoded = if entities { html::unescape_certain(&text) } else { text.clone() };
        let decoded = fix_encoding(&decoded, work);
        let fixed = simplified(&decoded);
        let fixed = TERMINAL_ESCAPE.replace_all(&fixed, "");
        let fixed: String = fixed.chars().filter(|c| !is_invisible(*c)).nfc().collect();
        if fixed == text {
            break;
        }
        text = fixed;
    }
    text
}

/// Control characters as Windows-1252 reads them, no ligatures, letters of ordinary width, straight
/// quotation marks, and line feeds for all line ends.
fn simplified(text: &str) -> String {
    let mut simple = String::with_capacity(text.len());
    for c in text.chars() {
        let c = if is_c1(c) { windows_1252(c).unwrap_or(c) } else { c };
        match c {
            '\u{3000}' => simple.push(' '),
            '\u{ff01}'..='\u{ffef}' => simple.extend(c.nfkc().map(straight)),
            '\r' | '\u{2028}' | '\u{2029}' => simple.push('\n'),
            _ => match ligature(c) {
                Some(letters) => simple.extend(letters.chars().map(straight)),
                None => simple.push(straight(c)),
            },
        }
    }
    simple
}

fn straight(c: char) -> char {
    match c {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        _ => c,
    }
}

/// The letters of a Latin ligature or digraph that Unicode has as one character.
fn ligature(c: char) -> Option<&'static str> {
    Some(match c {
        'Ĳ' => "IJ",
        'ĳ' => "ij",
        'ŉ' => "ʼn",
        'Ǳ' => "DZ",
        'ǲ' => "Dz",
        'ǳ' => "dz",
        'Ǆ' => "DŽ",
        'ǅ' => "Dž",
        'ǆ' => "dž",
        'Ǉ' => "LJ",
        'ǈ' => "Lj",
        'ǉ' => "lj",
        'Ǌ' => "NJ",
        'ǋ' => "Nj",
        'ǌ' => "nj",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' => "ſt",
        'ﬆ' => "st",
        _ => return None,
    })
}

/// Whether a character is removed: control characters without a visible effect, byte order marks,
/// annotations.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}'
            | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}'
    )
}

/// Colours and the like, as terminals read them.
#[expect(clippy::expect_used, reason = "the expression is constant, every text compiles it")]
static TERMINAL_ESCAPE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\x1b\[[\d;]*[a-zA-Z]").expect("a regular expression"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs() {
        for (text, fixed) in [
            ("", ""),
            ("‘a’ “b” ʼn", "'a' \"b\" 'n"),
            ("ﬁne ĳs ǅ", "fine ijs Dž"),
            ("Ｗｉｄｅ　ｶﾞ", "Wide ガ"),
            ("\u{1b}[31;1mred\u{1b}[0m\0\u{feff}", "red"),
            ("one\r\ntwo\u{2028}", "one\n\ntwo\n"),
            ("nel\u{85}", "nel…"),
            ("cafe\u{301}", "café"),
            ("&amp;amp;amp;", "&"),
            ("&EACUTE;&hellip;", "É…"),
            ("<b>&eacute;\n&eacute;", "<b>&eacute;\n&eacute;"),
            ("&eacute;\n<b>", "é\n<b>"),
            ("The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t have eyebrows.", "The Mona Lisa doesn't have eyebrows."),
            ("l’humanitÃ©", "l'humanité"),
            ("Ã perturber la rÃ©flexion", "à perturber la réflexion"),
            ("P&EACUTE;REZ", "PÉREZ"),
            ("â€œ like this â€�", "\" like this �"),
        ] {
            assert_eq!(fix_text(text), fixed, "{text:?}");
        }
    }

    #[test]
    fn nested_faults_take_bounded_work() {
        let text = format!("&{}", "amp;".repeat(100_000));
        assert!(fix_text(&text).len() > 300_000);
        let short = format!("&{}lt;", "amp;".repeat(100));
        assert_eq!(fix_text(&short), "<");
    }
}
