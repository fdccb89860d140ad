//! Comma-separated rows as RFC 4180 writes them, on bytes: a quoted field may hold commas, line feeds and doubled
//! quotes. Written here because rows are bounded in length and paths are not always UTF-8.

use std::io::{BufRead, BufReader, Read};

use super::MAX_ROW_BYTES;
use super::rows::{Row, Rows};
use crate::folders::nearest;
use crate::listing::{ListingError, shown};

/// Where the columns are.
struct Columns {
    path: usize,
    label: usize,
    split: Option<usize>,
    domain: Option<usize>,
    count: usize,
}

/// Reads all rows below the header.
pub(super) fn read(source: impl Read, rows: &mut Rows) -> Result<(), ListingError> {
    let mut records = Records::new(BufReader::with_capacity(1 << 16, source));
    if !records.next(rows)? {
        return Err(ListingError::Empty { path: rows.file().to_owned(), expected: "header" });
    }
    let columns = Columns::find(&records, rows)?;
    while records.next(rows)? {
        let line = records.line;
        if records.ends.len() != columns.count {
            let (found, expected) = (records.ends.len(), columns.count);
            return Err(rows.malformed(line, format!("{found} fields, but the header has {expected}")));
        }
        let text = |column: usize, name: &str| {
            std::str::from_utf8(records.field(column)).map_err(|_| {
                rows.malformed(line, format!("the {name} `{}` is not UTF-8", shown(records.field(column))))
            })
        };
        let row = Row {
            path: records.field(columns.path),
            label: text(columns.label, "label")?,
            split: columns.split.map(|column| text(column, "split")).transpose()?,
            domain: columns.domain.map(|column| text(column, "domain")).transpose()?,
        };
        rows.add(line, &row)?;
    }
    Ok(())
}

impl Columns {
    fn find<R: BufRead>(header: &Records<R>, rows: &Rows) -> Result<Self, ListingError> {
        let names: Vec<String> = (0..header.ends.len())
            .map(|column| String::from_utf8_lossy(header.field(column)).trim().to_ascii_lowercase())
            .collect();
        let position = |wanted: &str| names.iter().position(|name| name == wanted);
        let required = |wanted: &str| {
            position(wanted).ok_or_else(|| {
                let similar = nearest(wanted, &names).map(|name| format!(" (is it `{name}`?)"));
                let similar = similar.unwrap_or_default();
                let reason = format!(
                    "no column `{wanted}` in the header{similar}; a manifest starts with a line such as \
                     path,label or path,label,split,domain"
                );
                rows.malformed(header.line, reason)
            })
        };
        if let Some(twice) = names.iter().enumerate().find(|&(at, name)| position(name) != Some(at)) {
            return Err(rows.malformed(header.line, format!("the column `{}` is there twice", twice.1)));
        }
        let (path, label) = (required("path")?, required("label")?);
        Ok(Self { path, label, split: position("split"), domain: position("domain"), count: names.len() })
    }
}

/// The rows of a file, one at a time in buffers that are used again.
struct Records<R> {
    source: R,
    /// The line at which the current row starts.
    line: u64,
    lines_read: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    at_start: bool,
}

#[derive(PartialEq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote inside quotes: the end of the field, or the first of two.
    QuoteInQuoted,
}

impl<R: BufRead> Records<R> {
    fn new(source: R) -> Self {
        Self { source, line: 0, lines_read: 0, bytes: Vec::new(), ends: Vec::new(), at_start: true }
    }

    fn field(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(number).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Reads the next row that is not empty; `false` at the end.
    fn next(&mut self, rows: &Rows) -> Result<bool, ListingError> {
        loop {
            self.bytes.clear();
            self.ends.clear();
            self.line = self.lines_read + 1;
            let more = self.row(rows)?;
            if self.ends.len() > 1 || !self.bytes.is_empty() {
                return Ok(true);
            }
            if !more {
                return Ok(false);
            }
        }
    }

    /// Reads up to the end of a row; `false` if the file ended with it.
    fn row(&mut self, rows: &Rows) -> Result<bool, ListingError> {
        let mut state = State::FieldStart;
        loop {
            let buffer = self.source.fill_buf().map_err(ListingError::unreadable(rows.file()))?;
            if buffer.is_empty() {
                if state == State::Quoted {
                    return Err(rows.malformed(self.line, "a quote is opened and never closed"));
                }
                self.end_of_row();
                return Ok(false);
            }
            let mark = b"\xef\xbb\xbf";
            let mut used = if self.at_start && buffer.starts_with(mark) { mark.len() } else { 0 };
            self.at_start = false;
            let mut ended = false;
            while let (false, Some(&byte)) = (ended, buffer.get(used)) {
                used += 1;
                self.lines_read += u64::from(byte == b'\n');
                state = match (state, byte) {
                    (State::FieldStart, b'"') => State::Quoted,
                    (State::Quoted, b'"') => State::QuoteInQuoted,
                    (State::QuoteInQuoted, b'"') | (State::Quoted, _) => {
                        self.bytes.push(byte);
                        State::Quoted
                    }
                    (_, b',') => {
                        self.ends.push(self.bytes.len());
                        State::FieldStart
                    }
                    (_, b'\n') => {
                        ended = true;
                        State::FieldStart
                    }
                    (State::QuoteInQuoted, b'\r') => State::QuoteInQuoted,
                    (State::QuoteInQuoted, _) => {
                        return Err(rows.malformed(self.line, "text after a closing quote"));
                    }
                    (State::FieldStart | State::Plain, byte) => {
                        self.bytes.push(byte);
                        State::Plain
                    }
                };
                if self.bytes.len() + self.ends.len() > MAX_ROW_BYTES {
                    return Err(rows.too_long(self.line));
                }
            }
            self.source.consume(used);
            if ended {
                self.end_of_row();
                return Ok(true);
            }
        }
    }

    fn end_of_row(&mut self) {
        let start = self.ends.last().copied().unwrap_or(0);
        if self.bytes.len() > start && self.bytes.last() == Some(&b'\r') {
            self.bytes.pop();
        }
        self.ends.push(self.bytes.len());
    }
}
