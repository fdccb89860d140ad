//! The single-byte encodings that UTF-8 text is most often mistaken for.
//!
//! Mojibake is UTF-8 that somebody read in one of these. To undo it the text is written back in the same
//! encoding, so each table goes both ways, and covers all 256 bytes: a byte without a character stands for
//! the control character of its number, as web browsers read it.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The byte that stands for a character which was lost.
pub(super) const SUBSTITUTE: u8 = 0x1a;

// The bytes from 0x80 to 0xFF of each encoding, `�` for those without a character.

/// Western Europe.
const WINDOWS_1252: &str = concat!(
    "€�‚ƒ„…†‡ˆ‰Š‹Œ�Ž��‘’“”•–—˜™š›œ�žŸ\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿",
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
);

/// Cyrillic.
const WINDOWS_1251: &str = concat!(
    "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—�™љ›њќћџ\u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕї",
    "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя",
);

/// Central Europe.
const WINDOWS_1250: &str = concat!(
    "€�‚�„…†‡�‰Š‹ŚŤŽŹ�‘’“”•–—�™š›śťžź\u{a0}ˇ˘Ł¤Ą¦§¨©Ş«¬\u{ad}®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż",
    "ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
);

/// Greek.
const WINDOWS_1253: &str = concat!(
    "€�‚ƒ„…†‡�‰�‹�����‘’“”•–—�™�›����\u{a0}΅Ά£¤¥¦§¨©�«¬\u{ad}®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏ",
    "ΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ�ΣΤΥΦΧΨΩΪΫάέήίΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώ�",
);

/// Turkish.
const WINDOWS_1254: &str = concat!(
    "€�‚ƒ„…†‡ˆ‰Š‹Œ����‘’“”•–—˜™š›œ��Ÿ\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿",
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞßàáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
);

/// Baltic.
const WINDOWS_1257: &str = concat!(
    "€�‚�„…†‡�‰�‹�¨ˇ¸�‘’“”•–—�™�›�¯˛�\u{a0}�¢£¤�¦§Ø©Ŗ«¬\u{ad}®Æ°±²³´µ¶·ø¹ŗ»¼½¾æ",
    "ĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽßąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙",
);

/// Central Europe, without characters for the bytes to 0x9F.
const ISO_8859_2: &str = concat!(
    "��������������������������������\u{a0}Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u{ad}ŽŻ°ą˛ł´ľśˇ¸šşťź˝žż",
    "ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
);

/// Of the Macintosh.
const MACINTOSH: &str = concat!(
    "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø",
    "¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
);

/// Of the first PCs.
const CODE_PAGE_437: &str = concat!(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐",
    "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
);

/// Latin-1, then the others in the order in which they are tried.
pub(super) static CODE_PAGES: LazyLock<[CodePage; 10]> = LazyLock::new(|| {
    let windows = |characters| CodePage { lossy: true, ..CodePage::new(characters) };
    [
        // Latin-1 gives each byte the character of its number.
        CodePage::new(&"�".repeat(128)),
        windows(WINDOWS_1252),
        windows(WINDOWS_1251),
        windows(WINDOWS_1250),
        windows(WINDOWS_1253),
        windows(WINDOWS_1254),
        windows(WINDOWS_1257),
        CodePage::new(ISO_8859_2),
        CodePage { spaces: false, ..CodePage::new(MACINTOSH) },
        CodePage::new(CODE_PAGE_437),
    ]
});

/// How many of [`CODE_PAGES`] are close to Latin-1: it and those of Windows.
pub(super) const LIKE_LATIN_1: usize = 7;

/// An encoding of one byte per character, ASCII below 0x80.
pub(super) struct CodePage {
    /// The characters of the bytes from 0x80.
    upper: Vec<char>,
    bytes: HashMap<char, u8>,
    /// Whether U+FFFD counts as a byte that was lost on the way, [`SUBSTITUTE`].
    pub(super) lossy: bool,
    /// Whether a space may have been a no-break space, 0xA0. Not on the Macintosh, where a dash and a space,
    /// which real text has, would be taken for a damaged character.
    pub(super) spaces: bool,
}

impl CodePage {
    fn new(characters: &str) -> Self {
        let numbered = characters.chars().zip(0x80..=0xff_u8);
        let own = |(c, byte)| if c == char::REPLACEMENT_CHARACTER { char::from(byte) } else { c };
        let upper: Vec<char> = numbered.map(own).collect();
        let bytes = upper.iter().copied().zip(0x80..=0xff).collect();
        Self { upper, bytes, lossy: false, spaces: true }
    }

    /// The bytes of a text, or `None` if it holds a character that the encoding lacks.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        text.chars().map(|c| self.byte(c)).collect()
    }

    fn byte(&self, c: char) -> Option<u8> {
        match u8::try_from(c) {
            Ok(SUBSTITUTE) if self.lossy => None,
            Ok(ascii) if ascii.is_ascii() => Some(ascii),
            _ if self.lossy && c == char::REPLACEMENT_CHARACTER => Some(SUBSTITUTE),
            _ => self.bytes.get(&c).copied(),
        }
    }

    /// The bytes from `first` to `last`, both 0x80 or above, as characters.
    pub(super) fn characters(&self, first: u8, last: u8) -> impl Iterator<Item = char> + '_ {
        (first..=last).filter_map(|byte| self.upper.get(usize::from(byte).checked_sub(0x80)?).copied())
    }
}

/// The character of a control character's byte, 0x80 to 0x9F, in Windows-1252.
pub(super) fn windows_1252(control: char) -> Option<char> {
    let byte = u8::try_from(control).ok()?;
    CODE_PAGES[1].characters(byte, byte).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_maps_every_byte_to_a_character_of_its_own() {
        for page in CODE_PAGES.iter() {
            assert_eq!((page.upper.len(), page.bytes.len()), (128, 128));
        }
    }

    #[test]
    fn lost_bytes_and_foreign_characters() {
        let [latin_1, windows, ..] = &*CODE_PAGES;
        assert_eq!(windows.encode("a€\u{fffd}\u{81}"), Some(vec![b'a', 0x80, SUBSTITUTE, 0x81]));
        assert_eq!(windows.encode("\u{1a}"), None);
        assert_eq!(latin_1.encode("\u{1a}é"), Some(vec![SUBSTITUTE, 0xe9]));
        assert_eq!(latin_1.encode("€"), None);
        assert_eq!((windows_1252('\u{85}'), windows_1252('\u{90}')), (Some('…'), Some('\u{90}')));
    }
}
