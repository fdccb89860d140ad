//! UTF-8 that went through programs which damaged it, and its two variants that no standard allows.
//!
//! Which damage is repaired, and where, agrees with the Python library ftfy 6.3.

use super::code_pages::SUBSTITUTE;

/// Puts back the byte 0xA0 where a program has made a space of it inside a character.
pub(super) fn restore_no_break_spaces(bytes: &[u8]) -> Vec<u8> {
    let bytes = replace(bytes, lone_a_grave, |_, out| out.extend([0xc3, 0xa0, b' ']));
    replace(&bytes, spaced_character, |character, out| {
        out.extend(character.iter().map(|&byte| if byte == b' ' { 0xa0 } else { byte }));
    })
}

/// Makes one U+FFFD of each character of which a byte was lost.
pub(super) fn mark_lost_characters(bytes: &[u8]) -> Vec<u8> {
    replace(bytes, lossy_character, |_, out| out.extend("\u{fffd}".as_bytes()))
}

/// The text of UTF-8, of CESU-8 (UTF-16 surrogates written as UTF-8) or of Java's (a zero in two bytes).
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let (mut text, mut rest) = (String::with_capacity(bytes.len()), bytes);
    loop {
        let error = match std::str::from_utf8(rest) {
            Ok(last) => {
                text.push_str(last);
                return Some(text);
            }
            Err(error) => error,
        };
        let (valid, odd) = rest.split_at_checked(error.valid_up_to())?;
        text.push_str(std::str::from_utf8(valid).ok()?);
        rest = match odd {
            [0xc0, 0x80, rest @ ..] => {
                text.push('\0');
                rest
            }
            [0xed, a @ 0xa0..=0xaf, b @ 0x80..=0xbf, 0xed, c @ 0xb0..=0xbf, d @ 0x80..=0xbf, rest @ ..] => {
                let bits = |byte: &u8, mask: u8, shift: u32| u32::from(byte & mask) << shift;
                let code = bits(a, 0x0f, 16) | bits(b, 0x3f, 10) | bits(c, 0x0f, 6) | bits(d, 0x3f, 0);
                text.push(char::from_u32(0x10000 + code)?);
                rest
            }
            _ => return None,
        };
    }
}

/// Rewrites each sequence whose length `find` tells, zero for none, from left to right.
fn replace(bytes: &[u8], find: fn(&[u8]) -> usize, write: impl Fn(&[u8], &mut Vec<u8>)) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let [first, tail @ ..] = rest {
        let Some((found, behind)) = rest.split_at_checked(find(rest)).filter(|(found, _)| !found.is_empty())
        else {
            out.push(*first);
            rest = tail;
            continue;
        };
        write(found, &mut out);
        rest = behind;
    }
    out
}

/// `à` as a word: its space stays, since it was two. Not so in Portuguese `às`, `àquele`, `àquilo`.
fn lone_a_grave(bytes: &[u8]) -> usize {
    let goes_on = [&b" "[..], b"quele", b"quela", b"quilo", b"s "];
    match bytes {
        [0xc3, b' ', rest @ ..] if !goes_on.iter().any(|word| rest.starts_with(word)) => 2,
        _ => 0,
    }
}

/// A character of UTF-8 with a space for 0xA0, where that makes a likely one.
fn spaced_character(bytes: &[u8]) -> usize {
    match bytes {
        [0xc2 | 0xc3 | 0xc5 | 0xce | 0xd0 | 0xd9, b' ', ..] => 2,
        [0xe2 | 0xe3, b' ', 0x80..=0x84 | 0x86..=0x9f | 0xa1..=0xbf, ..] => 3,
        [0xe0..=0xe3, 0x80..=0x84 | 0x86..=0x9f | 0xa1..=0xbf, b' ', ..] => 3,
        [0xf0, b' ', 0x80..=0xbf, 0x80..=0xbf, ..]
        | [0xf0, 0x80..=0xbf, b' ', 0x80..=0xbf, ..]
        | [0xf0, 0x80..=0xbf, 0x80..=0xbf, b' ', ..] => 4,
        _ => 0,
    }
}

/// A character of UTF-8, or a pair of CESU-8, with lost bytes: [`SUBSTITUTE`], or once a question mark.
fn lossy_character(bytes: &[u8]) -> usize {
    let lost = |byte: u8| byte == SUBSTITUTE || byte == b'?';
    let kept = |byte: u8| byte == SUBSTITUTE || (0x80..=0xbf).contains(&byte);
    match *bytes {
        [0xc2..=0xdf, SUBSTITUTE, ..] | [0xc2..=0xc3, b'?', ..] => 2,
        [0xed, 0xa0..=0xaf, b, 0xed, 0xb0..=0xbf, d, ..]
            if lost(b) && (kept(d) || lost(d)) || (kept(b) || lost(b)) && lost(d) =>
        {
            6
        }
        [0xe0..=0xef, a, b, ..] if lost(a) && kept(b) || kept(a) && lost(b) => 3,
        [0xf0..=0xf4, a, b, c, ..]
            if lost(a) && kept(b) && kept(c)
                || kept(a) && lost(b) && kept(c)
                || kept(a) && kept(b) && lost(c) =>
        {
            4
        }
        [SUBSTITUTE, ..] => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_inside_characters_come_back() {
        assert_eq!(restore_no_break_spaces(b"\xc3 la"), b"\xc3\xa0 la");
        assert_eq!(restore_no_break_spaces(b"\xc3 quele"), b"\xc3\xa0quele");
        assert_eq!(restore_no_break_spaces(b"\xf0 \x90\x90 x"), b"\xf0\xa0\x90\x90 x");
        assert_eq!(restore_no_break_spaces(b"\xe1 \x90"), b"\xe1 \x90");
    }

    #[test]
    fn lost_bytes_become_one_character() {
        assert_eq!(mark_lost_characters(b"\xe2\x80\x1a!"), "\u{fffd}!".as_bytes());
        assert_eq!(mark_lost_characters(b"\xc3?\xc4?"), b"\xef\xbf\xbd\xc4?");
        assert_eq!(mark_lost_characters(b"\xf0\x1a\x90?"), "\u{fffd}".as_bytes());
    }

    #[test]
    fn variants_of_utf8() {
        assert_eq!(decode(b"a\xc0\x80b\xed\xa0\xbd\xed\xb2\xa9").as_deref(), Some("a\0b💩"));
        assert_eq!(decode("ok é".as_bytes()).as_deref(), Some("ok é"));
        for wrong in [&b"\xc0\x81"[..], b"\xed\xa0\xbd", b"\xff", b"\xed\xb2\xa9\xed\xa0\xbd"] {
            assert_eq!(decode(wrong), None);
        }
    }
}
