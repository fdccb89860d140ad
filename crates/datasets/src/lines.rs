//! The lines of a file of unknown origin, of bounded length.

use std::io::{self, BufRead};

/// Lines, one at a time in a buffer that is used again.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    source: R,
    longest: usize,
    number: u64,
    buffer: Vec<u8>,
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub(crate) enum NextLine<'a> {
    /// A line without its end, and its number from 1.
    Line(u64, &'a [u8]),
    /// A line that is longer than allowed.
    TooLong(u64),
    /// Nothing.
    End,
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most `longest` bytes.
    pub fn new(source: R, longest: usize) -> Self {
        Self { source, longest, number: 0, buffer: Vec::new() }
    }

    /// The next line.
    pub fn next(&mut self) -> io::Result<NextLine<'_>> {
        self.buffer.clear();
        let mark: &[u8] = if self.number == 0 { b"\xef\xbb\xbf" } else { b"" };
        loop {
            let found = self.source.fill_buf()?;
            if found.is_empty() && self.buffer.is_empty() {
                return Ok(NextLine::End);
            }
            let end = found.iter().position(|&byte| byte == b'\n');
            let length = end.unwrap_or(found.len());
            if self.buffer.len() + length > self.longest {
                return Ok(NextLine::TooLong(self.number + 1));
            }
            self.buffer.extend_from_slice(&found[..length]);
            let finished = end.is_some() || found.is_empty();
            self.source.consume(length + usize::from(end.is_some()));
            if finished {
                self.number += 1;
                let line = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer);
                return Ok(NextLine::Line(self.number, line.strip_prefix(mark).unwrap_or(line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_bounded() {
        let mut lines = Lines::new(&b"\xef\xbb\xbfa\r\n\nlong line\nz"[..], 8);
        assert_eq!(lines.next().unwrap(), NextLine::Line(1, b"a"));
        assert_eq!(lines.next().unwrap(), NextLine::Line(2, b""));
        assert_eq!(lines.next().unwrap(), NextLine::TooLong(3));
        let mut lines = Lines::new(&b"x"[..], 8);
        assert_eq!(lines.next().unwrap(), NextLine::Line(1, b"x"));
        assert_eq!(lines.next().unwrap(), NextLine::End);
    }
}
