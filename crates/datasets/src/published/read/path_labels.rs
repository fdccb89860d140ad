//! List files with one `<path> <label>` per line.

use std::borrow::Cow;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::text::malformed;
use crate::lines::{Lines, NextLine};
use crate::listing::{Entry, EntryUnit, Images, ListingError, Origin, relative, shown};

/// Longest line, in bytes.
const MAX_LINE: usize = 1 << 16;

/// A list file; its paths are relative to a folder inside the data set.
#[derive(Debug)]
pub(super) struct PathLabels<'a> {
    origin: Origin,
    folder: &'a str,
}

/// One line of it.
#[derive(Debug)]
pub(super) struct PathLabel<'a> {
    /// The path as it is written, checked.
    pub path: Cow<'a, [u8]>,
    pub label: usize,
    number: usize,
    list: &'a PathLabels<'a>,
}

impl<'a> PathLabels<'a> {
    pub fn new(file: &Path, folder: &'a str) -> Self {
        Self { origin: Origin { file: file.to_owned(), unit: EntryUnit::Line }, folder }
    }

    /// Calls `each` with every line that is not blank.
    pub fn for_each(
        &self,
        mut each: impl FnMut(&PathLabel<'_>) -> Result<(), ListingError>,
    ) -> Result<(), ListingError> {
        let file = &self.origin.file;
        let source = File::open(file).map_err(ListingError::unreadable(file))?;
        let mut lines = Lines::new(BufReader::new(source), MAX_LINE);
        loop {
            let (number, line) = match lines.next().map_err(ListingError::unreadable(file))? {
                NextLine::End => return Ok(()),
                NextLine::TooLong(number) => {
                    return Err(malformed(
                        file,
                        number as usize,
                        format!("the line is longer than {MAX_LINE} bytes"),
                    ));
                }
                NextLine::Line(number, line) => (number as usize, line.trim_ascii()),
            };
            if line.is_empty() {
                continue;
            }
            each(&self.row(number, line)?)?;
        }
    }

    fn row<'l>(&'l self, number: usize, line: &'l [u8]) -> Result<PathLabel<'l>, ListingError> {
        let blank = line.iter().rposition(u8::is_ascii_whitespace);
        let (path, label) = blank.map_or((line, &b""[..]), |at| line.split_at(at));
        let label = std::str::from_utf8(label).ok().and_then(|label| label.trim().parse::<u32>().ok());
        let Some(label) = label.and_then(|label| usize::try_from(label).ok()) else {
            return Err(malformed(
                &self.origin.file,
                number,
                "expected a path and a label, such as `a/b.jpg 3`",
            ));
        };
        let path = path.trim_ascii();
        let path = relative(path).map_err(|fault| ListingError::UnsafePath {
            entry: format!("{}, line {number}", self.origin.file.display()),
            path: shown(path),
            fault,
        })?;
        Ok(PathLabel { path, label, number, list: self })
    }
}

impl PathLabel<'_> {
    /// The file and the line.
    pub fn entry(&self) -> String {
        format!("{}, line {}", self.list.origin.file.display(), self.number)
    }

    /// Part `number` of the path, from 0.
    pub fn part(&self, number: usize) -> Result<String, ListingError> {
        let part = self.path.split(|&byte| byte == b'/').nth(number);
        part.and_then(|part| std::str::from_utf8(part).ok()).map(str::to_owned).ok_or_else(|| {
            let reason = format!("expected a path <domain>/<class>/<file>, found `{}`", shown(&self.path));
            malformed(&self.list.origin.file, self.number, reason)
        })
    }

    /// What is wrong with the line.
    pub fn malformed(&self, reason: impl Into<String>) -> ListingError {
        malformed(&self.list.origin.file, self.number, reason)
    }

    /// Adds the image.
    pub fn push(&self, images: &mut Images, label: usize, domain: Option<usize>) {
        let entry = Entry { label, domain, number: self.number, offset: 0 };
        if self.list.folder.is_empty() {
            images.push(&self.path, entry, Some(&self.list.origin));
        } else {
            let whole = [self.list.folder.as_bytes(), &self.path].join(&b'/');
            images.push(&whole, entry, Some(&self.list.origin));
        }
    }
}
