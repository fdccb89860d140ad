//! One JSON object per line.

use std::borrow::Cow;
use std::io::{BufReader, Read};

use serde::Deserialize;

use super::MAX_ROW_BYTES;
use super::rows::{Row, Rows};
use crate::lines::{Lines, NextLine};
use crate::listing::ListingError;

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    label: Label<'a>,
    #[serde(borrow, default)]
    split: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    domain: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Label<'a> {
    Number(u64),
    #[serde(borrow)]
    Name(Cow<'a, str>),
}

/// Reads all lines that are not blank.
pub(super) fn read(source: impl Read, rows: &mut Rows) -> Result<(), ListingError> {
    let mut lines = Lines::new(BufReader::with_capacity(1 << 16, source), MAX_ROW_BYTES);
    loop {
        match lines.next().map_err(ListingError::unreadable(rows.file()))? {
            NextLine::End => return Ok(()),
            NextLine::TooLong(line) => return Err(rows.too_long(line)),
            NextLine::Line(line, text) => add(line, text, rows)?,
        }
    }
}

fn add(line: u64, text: &[u8], rows: &mut Rows) -> Result<(), ListingError> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Ok(());
    }
    let object: Object<'_> = serde_json::from_slice(text).map_err(|error| {
        let expected = r#"expected an object such as {"path": "a.jpg", "label": "cat"}"#;
        rows.malformed(line, format!("{error}; {expected}"))
    })?;
    let label = match object.label {
        Label::Number(number) => Cow::Owned(number.to_string()),
        Label::Name(name) => name,
    };
    let row = Row {
        path: object.path.as_bytes(),
        label: &label,
        split: object.split.as_deref(),
        domain: object.domain.as_deref(),
    };
    rows.add(line, &row)
}
