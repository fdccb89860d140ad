//! Bytes as printable characters.
//!
//! A byte-level vocabulary is kept in text files, so each byte needs a character that is neither white
//! space nor a control character. OpenAI keeps the printable ones of Latin-1 as they are, and numbers the
//! others from U+0100.

use std::sync::LazyLock;

/// The characters of all bytes in the order of OpenAI's vocabulary: the printable ones come first.
pub(super) fn in_vocabulary_order() -> impl Iterator<Item = char> {
    let (printable, others): (Vec<u8>, Vec<u8>) = (0..=u8::MAX).partition(|byte| is_printable(*byte));
    printable.into_iter().chain(others).map(symbol)
}

/// The character of a byte.
pub(super) fn symbol(byte: u8) -> char {
    SYMBOLS.get(usize::from(byte)).copied().unwrap_or_default()
}

static SYMBOLS: LazyLock<Vec<char>> = LazyLock::new(|| {
    let mut unused = '\u{100}'..;
    let character = |byte| if is_printable(byte) { Some(char::from(byte)) } else { unused.next() };
    (0..=u8::MAX).filter_map(character).collect()
});

fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_bytes_are_themselves_and_the_rest_are_numbered() {
        let of = |bytes: &[u8]| bytes.iter().map(|byte| symbol(*byte)).collect::<String>();
        assert_eq!(of(b"a! \n\x00\x7f\xa0\xad\xff"), "a!ĠĊĀġłŃÿ");
        let order: Vec<char> = in_vocabulary_order().collect();
        assert_eq!((order.len(), order[0], order[187], order[188], order[255]), (256, '!', 'ÿ', 'Ā', 'Ń'));
    }
}
