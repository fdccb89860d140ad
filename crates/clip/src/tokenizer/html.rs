//! HTML entities as Python reads them.
//!
//! Python's `html.unescape` differs from browsers in what it does with numbers that are no character, and
//! the library ftfy is more careful than either. OpenAI's tokenizer applies ftfy's reading, then Python's
//! twice.

use entities::ENTITIES;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The longest name that is looked for, in characters, without its semicolon.
const LONGEST_NAME: usize = 32;

/// The text with every entity replaced that `html.unescape` replaces, with and without semicolon.
pub(super) fn unescape(text: &str) -> String {
    replace(text, |rest| match rest.strip_prefix('#') {
        Some(number) => numbered(number),
        None => named(rest),
    })
}

/// The text with those entities replaced that are meant as such beyond doubt: they end in a semicolon, and
/// names in capitals are read as capital letters.
pub(super) fn unescape_certain(text: &str) -> String {
    replace(text, |rest| {
        let name = rest.strip_prefix('#').unwrap_or(rest);
        let length = name.bytes().take(25).take_while(u8::is_ascii_alphanumeric).count();
        let behind = name.get(length..)?.strip_prefix(';').filter(|_| (1..=24).contains(&length))?;
        let entity = rest.get(..rest.len() - behind.len())?;
        let character = if entity.starts_with('#') { whole_number(entity)? } else { whole_name(entity)? };
        Some((character, behind))
    })
}

/// Calls `read` with what follows each `&`. It gives back the replacement of the entity and what follows
/// it.
fn replace<'a>(text: &'a str, read: impl Fn(&'a str) -> Option<(String, &'a str)>) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, entity)) = rest.split_once('&') {
        replaced.push_str(before);
        rest = match read(entity) {
            Some((character, behind)) => {
                replaced.push_str(&character);
                behind
            }
            None => {
                replaced.push('&');
                entity
            }
        };
    }
    replaced + rest
}

/// The characters of HTML's names, such as `amp;` and, for the oldest ones, `amp`.
static NAMES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let names = ENTITIES.iter().map(|listed| (listed.entity.trim_start_matches('&'), listed.characters));
    names.collect()
});

/// The entity at the start of a text behind `&`: the longest name of the list, though more letters follow.
fn named(text: &str) -> Option<(String, &str)> {
    let ends_name = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | ' ' | '<' | '&' | '#' | ';');
    let name = text.split(ends_name).next().unwrap_or_default();
    let end = name.char_indices().nth(LONGEST_NAME).map_or(name.len(), |(place, _)| place);
    let whole = end + usize::from(text.get(end..)?.starts_with(';'));
    let ends = text.char_indices().map(|(place, _)| place).take_while(|place| *place < whole);
    // One letter is never enough, unless it is all there is.
    let mut ends: Vec<usize> = ends.skip(2).collect();
    ends.push(whole);
    ends.into_iter().rev().filter(|end| *end > 0).find_map(|end| {
        let (name, behind) = text.split_at_checked(end)?;
        Some((NAMES.get(name)?.to_string(), behind))
    })
}

/// The numeric entity at the start of a text behind `&#`.
fn numbered(text: &str) -> Option<(String, &str)> {
    let (digits, radix) = match text.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let behind = digits.trim_start_matches(|c: char| c.is_digit(radix));
    let digits = digits.get(..digits.len() - behind.len()).filter(|digits| !digits.is_empty())?;
    // More digits than fit are far beyond the last character.
    let number = u32::from_str_radix(digits, radix).unwrap_or(u32::MAX);
    Some((numbered_character(number), behind.strip_prefix(';').unwrap_or(behind)))
}

fn numbered_character(number: u32) -> String {
    let character = match number {
        0 => char::REPLACEMENT_CHARACTER,
        // HTML reads these as Windows-1252 does, and allows a carriage return.
        0x80..=0x9f => char::from_u32(number).and_then(super::code_pages::windows_1252).unwrap_or_default(),
        0x0d => '\r',
        0x01..=0x08 | 0x0b | 0x0e..=0x1f | 0x7f | 0xfdd0..=0xfdef => return String::new(),
        _ if number <= 0x10_ffff && number & 0xfffe == 0xfffe => return String::new(),
        _ => char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER),
    };
    character.to_string()
}

/// The character of an entity such as `#233;`, if all of it is a number.
fn whole_number(entity: &str) -> Option<String> {
    let (character, behind) = numbered(entity.strip_prefix('#')?)?;
    let whole = behind.is_empty() && !character.contains(';');
    whole.then_some(character)
}

/// The character of an entity such as `eacute;`, or `EACUTE;` where HTML gives that no meaning of its own.
fn whole_name(entity: &str) -> Option<String> {
    if let Some(character) = NAMES.get(entity) {
        return Some(character.to_string());
    }
    let in_capitals = !entity.contains(|c: char| c.is_ascii_lowercase());
    let meant = in_capitals.then(|| NAMES.get(&*entity.to_ascii_lowercase())).flatten()?;
    named(entity).is_none().then(|| meant.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_reads_entities_with_and_without_semicolon() {
        for (text, plain) in [
            ("&amp;amp;", "&amp;"),
            ("&ampamp &copy2020 &notit; &bogus;", "&amp ©2020 ¬it; &bogus;"),
            ("5 &lt 6 & 7 && &; &", "5 < 6 & 7 && &; &"),
            ("&#39;&#x1F436;&#X41&#65x", "'🐶AAx"),
            ("&#0;&#128;&#x81;&#xd800;&#99999999999;", "\u{fffd}€\u{81}\u{fffd}\u{fffd}"),
            ("&#1;&#xfffe;&#x1ffff;&#xfdd0;&#13;", "\r"),
            ("&#; &#x; &#xg;", "&#; &#x; &#xg;"),
            ("&CounterClockwiseContourIntegral;&NotEqualTilde;", "∳≂̸"),
            ("&gté &é", ">é &é"),
        ] {
            assert_eq!(unescape(text), plain, "{text:?}");
        }
    }

    #[test]
    fn certain_entities_end_in_a_semicolon() {
        for (text, plain) in [
            ("&amp;amp; &amp &copy2020;", "&amp; &amp &copy2020;"),
            ("&NTILDE; &nTILDE; &SZLIG; &GT; &AMP;", "Ñ &nTILDE; SS > &"),
            ("&#59; &#x26; &#xfg; &#12a;", "&#59; & &#xfg; &#12a;"),
            ("&;&#;&&amp;", "&;&#;&&"),
        ] {
            assert_eq!(unescape_certain(text), plain, "{text:?}");
        }
    }
}
