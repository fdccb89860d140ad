//! Undoes mojibake: UTF-8 that was read in a single-byte encoding, so that `é` became `Ã©`.
//!
//! OpenAI's tokenizer passes every text through the Python library ftfy, so equal ids need equal repairs.
//! The order of the attempts follows ftfy 6.3; what gives a text away is in [`super::mojibake_signs`].

use super::code_pages::{CODE_PAGES, windows_1252};
use super::damaged_utf8::{decode, mark_lost_characters, restore_no_break_spaces};
use super::fix_text::Work;
use super::mojibake_signs::{is_suspicious, utf8_like};

/// How often a piece of a piece is repaired by itself. Real text needs one.
const DEPTH: usize = 8;

/// The text with its mojibake undone, in as many layers as it has.
pub(super) fn fix_encoding(text: &str, work: &mut Work) -> String {
    fix_layers(text, work, DEPTH)
}

fn fix_layers(text: &str, work: &mut Work, depth: usize) -> String {
    let mut text = text.to_string();
    while work.spend(text.len()) {
        match fix_layer(&text, work, depth) {
            Some(fixed) if fixed != text => text = fixed,
            _ => break,
        }
    }
    text
}

/// The text with one layer of mojibake undone, or `None` if nothing helps.
fn fix_layer(text: &str, work: &mut Work, depth: usize) -> Option<String> {
    if text.is_ascii() || !is_suspicious(text) {
        return None;
    }
    for page in CODE_PAGES.iter() {
        let Some(mut bytes) = page.encode(text) else { continue };
        if page.spaces {
            bytes = restore_no_break_spaces(&bytes);
        }
        if page.lossy {
            bytes = mark_lost_characters(&bytes);
        }
        if let Some(fixed) = decode(&bytes) {
            return Some(fixed);
        }
    }
    if let Some(fixed) = fix_pieces(text, work, depth).filter(|fixed| fixed != text) {
        return Some(fixed);
    }
    Some(text.chars().map(|c| if is_c1(c) { windows_1252(c).unwrap_or(c) } else { c }).collect())
}

/// A control character between ASCII and Latin-1, which no text means.
pub(super) fn is_c1(c: char) -> bool {
    ('\u{80}'..='\u{9f}').contains(&c)
}

/// Repairs each piece that looks like UTF-8 by itself, where no one encoding explains the whole text.
fn fix_pieces(text: &str, work: &mut Work, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    let (mut fixed, mut done) = (String::with_capacity(text.len()), 0);
    for piece in utf8_like(text) {
        fixed.push_str(text.get(done..piece.start)?);
        done = piece.end;
        let piece = text.get(piece)?;
        if piece.len() < text.len() && is_suspicious(piece) {
            fixed.push_str(&fix_layers(piece, work, depth));
        } else {
            fixed.push_str(piece);
        }
    }
    fixed.push_str(text.get(done..)?);
    Some(fixed)
}
