//! What gives mojibake away: characters beside each other that no writer puts there.
//!
//! A few hundred characters can come out of UTF-8 that was read in another encoding. They are sorted by how
//! they are really used, and each rule names neighbours that real text does not have, such as an accented
//! small letter before a currency sign. Classes and rules agree with the heuristic of the Python library
//! ftfy 6.3 by Robyn Speer (see `NOTICES.md`), because a text that one of the two repairs and the other
//! does not has other ids.

use super::code_pages::{CODE_PAGES, LIKE_LATIN_1};
use regex::Regex;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

/// Classes of characters, as the inside of a class of a regular expression.
const CLASSES: [(&str, &str); 15] = [
    ("box", "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓"),
    ("c1", "\u{80}-\u{9f}"),
    ("closing", "®»˝”›™"),
    ("common", "\u{a0}\u{ad}·´–—―…’"),
    ("face", "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°"),
    ("law", "¶§"),
    ("lower", "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ"),
    ("lower_other", "α-ωάέήίΰа-џ"),
    ("money", "¢£¥₧€"),
    ("number", "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№"),
    ("odd", "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\u{fffd}ªº"),
    ("opening", "¡«¿©΄΅‘‚“„•‹\u{f8ff}"),
    ("space", "\\s\x1c-\x1f"),
    ("upper", "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"),
    ("upper_other", "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я"),
];

/// Neighbours that give mojibake away. `{odd box €}` is one character of the classes `odd` and `box`, or
/// `€`.
const RULES: [&str; 36] = [
    // Any encoding.
    "{c1}",
    "{odd lower upper box opening closing money number law}{odd}",
    "{odd}{lower upper box opening closing money number law}",
    "[a-zA-Z]{lower_other upper_other}{odd}",
    "{lower lower_other box closing money number}{upper}",
    "{box closing money number}{lower}",
    "{lower box closing}{money}",
    "{space}{upper}{money}",
    "[a-z]{upper}{opening money}",
    "{upper box}{number law}",
    "{upper}°",
    "{lower upper box money closing}{opening}{number}",
    "{lower upper money number box law}{closing}{opening}",
    "{lower upper}{opening closing}[\\pL\\pN_]",
    "{money number box}{opening}",
    "{lower upper money number opening closing law}{box}",
    "{box}{closing face}",
    // Windows-1252.
    "[Œœ][^A-Za-z]",
    "[ÂÃÎÐ]{opening closing €œŠš¢£Ÿž\u{a0}\u{ad}°·–—´}",
    "×[²³]",
    "[ØÙ]{common money odd number opening ŸŠ®°µ»}[ØÙ]{common money odd number opening ŸŠ®°µ»}",
    "à[²µ¹¼½¾]",
    // Windows-1252: the letter à and the no-break space.
    "Ã[\u{a0}¡]",
    "[a-z]{space}?[ÃÂ] ",
    "^[ÃÂ] ",
    "{closing a-z.,?!}Â{opening closing \\x20}",
    // Macintosh.
    "√[±∂†≠®™´≤≥¥µø]",
    "≈[°¢]",
    "‚Ä[ìîïòôúùû†°¢π]",
    "‚[âó][àä°ê]",
    // Windows-1251, Cyrillic.
    "вЂ",
    "[ВГРС]{c1 odd opening closing money °µ}[ВГРС]",
    "ГўВЂВ.[A-Za-z ]",
    // Windows-1253, Greek.
    "β€[™\u{a0}Ά\u{ad}®°]",
    "[ΒΓΞΟ]{c1 odd opening closing money °}[ΒΓΞΟ]",
    // Windows-1257, Baltic.
    "ā€",
];

/// The rules as one expression.
#[expect(clippy::expect_used, reason = "the expression is constant, every text with mojibake compiles it")]
static SIGNS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&expression()).expect("the rules are an expression"));

fn expression() -> String {
    let class = |name: &str| CLASSES.iter().find(|(known, _)| *known == name).map(|(_, inside)| *inside);
    let rules = RULES.map(|rule| {
        let parts = rule.split(['{', '}']).enumerate().map(|(place, part)| match place % 2 {
            0 => part.to_string(),
            _ => format!("[{}]", part.split(' ').map(|name| class(name).unwrap_or(name)).collect::<String>()),
        });
        parts.collect::<String>()
    });
    rules.join("|")
}

/// Whether a text holds neighbours that give mojibake away.
pub(super) fn is_suspicious(text: &str) -> bool {
    SIGNS.is_match(text)
}

/// What a character can be where UTF-8 was read as Latin-1 or an encoding of Windows.
#[derive(Debug, Clone, Copy, Default)]
struct Role {
    /// As a first byte: the number of bytes that follow, else zero.
    follow: usize,
    /// Whether it can be one of the bytes that follow.
    follows: bool,
    /// Whether it follows, and does not stand beside words in real text as quotation marks and dashes do.
    never_stands_alone: bool,
}

/// Characters that follow a first byte, and that real text has in that place too.
const PUNCTUATION: &str = "‚„…‘’“”•–—―";

static ROLES: LazyLock<HashMap<char, Role>> = LazyLock::new(|| {
    let mut roles = HashMap::<char, Role>::from([(' ', Role { follows: true, ..Role::default() })]);
    for page in CODE_PAGES.iter().take(LIKE_LATIN_1) {
        // Of the first bytes of four, only these two begin characters that are in use.
        for (first, last, follow) in [(0xc2, 0xdf, 1), (0xe0, 0xef, 2), (0xf0, 0xf0, 3), (0xf3, 0xf3, 3)] {
            for character in page.characters(first, last) {
                roles.entry(character).or_default().follow = follow;
            }
        }
        for character in page.characters(0x80, 0xbf) {
            let role = roles.entry(character).or_default();
            (role.follows, role.never_stands_alone) = (true, !PUNCTUATION.contains(character));
        }
    }
    roles
});

/// The places of a text that look like UTF-8 which was read as Latin-1 or an encoding of Windows, each as
/// long as possible. A place right behind a byte that must follow another is left out: it is part of a
/// greater garble.
pub(super) fn utf8_like(text: &str) -> Vec<Range<usize>> {
    let characters: Vec<(usize, Role)> = text
        .char_indices()
        .map(|(place, character)| (place, ROLES.get(&character).copied().unwrap_or_default()))
        .collect();
    let place = |index: usize| characters.get(index).map_or(text.len(), |(place, _)| *place);
    let (mut found, mut index, mut in_a_garble) = (Vec::new(), 0, false);
    while index < characters.len() {
        let mut end = index;
        while let Some(length) = length(characters.get(end..).unwrap_or_default()).filter(|_| !in_a_garble) {
            end += length;
        }
        if end > index {
            found.push(place(index)..place(end));
        }
        index = end.max(index + 1);
        in_a_garble = characters.get(index - 1).is_some_and(|(_, role)| role.never_stands_alone);
    }
    found
}

/// The number of characters that look like the bytes of one, at the start.
fn length(characters: &[(usize, Role)]) -> Option<usize> {
    let ((_, first), rest) = characters.split_first()?;
    let following = rest.get(..first.follow).filter(|following| !following.is_empty())?;
    following.iter().all(|(_, role)| role.follows).then_some(1 + first.follow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_text_is_left_alone() {
        for text in ["", "schön", "Ça coûte 5 €, «déjà»!", "Ω ≈ 5½ µm²", "“don’t” – he said…", "IL Y MARQUÉ…"]
        {
            assert!(!is_suspicious(text), "{text}");
        }
    }

    #[test]
    fn every_class_of_rules_finds_its_mojibake() {
        for text in ["schÃ¶n", "doesnâ€™t", "\u{85}", "Ã la", "‚Äì", "вЂ”", "β€™", "ā€“", "Â© 2020", "√±"]
        {
            assert!(is_suspicious(text), "{text}");
        }
    }

    #[test]
    fn places_that_look_like_utf8() {
        let found = |text| utf8_like(text).into_iter().map(|place| &text[place]).collect::<Vec<_>>();
        assert_eq!(found("a Ã© b â€™Ã© c"), ["Ã©", "â€™Ã©"]);
        assert_eq!(found("¶Ã© x"), Vec::<&str>::new());
        assert_eq!(found("“Ã© x"), ["Ã©"]);
        assert_eq!(found("ðŸ˜€!"), ["ðŸ˜€"]);
    }
}
