//! The files that are meant by arguments: files, folders, and lists of these on standard input. They are found one after
//! the other, so that a list may be longer than memory.

use std::collections::VecDeque;
use std::io::{BufRead, Read, StdinLock};
use std::path::{Path, PathBuf};

use regulus_datasets::folders::images_below;

/// Longest line of a list; longer than any path.
const LONGEST_LINE: u64 = 1 << 16;

/// All files in order; an error says what cannot be used, and why.
pub struct Sources<'a> {
    arguments: std::slice::Iter<'a, PathBuf>,
    list: Option<StdinLock<'static>>,
    /// Files of a folder that is being gone through.
    found: VecDeque<PathBuf>,
}

impl<'a> Sources<'a> {
    pub fn of(arguments: &'a [PathBuf]) -> Self {
        Self { arguments: arguments.iter(), list: None, found: VecDeque::new() }
    }

    /// The next line of the list; `None` at its end.
    fn line(&mut self) -> Option<Result<PathBuf, String>> {
        let list = self.list.as_mut()?;
        match next_line(list) {
            Ok(Some(line)) => Some(Ok(line)),
            Ok(None) => {
                self.list = None;
                None
            }
            Err(reason) => {
                self.list = None;
                Some(Err(format!("the list on standard input: {reason}")))
            }
        }
    }
}

impl Iterator for Sources<'_> {
    type Item = Result<PathBuf, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(path) = self.found.pop_front() {
                return Some(Ok(path));
            }
            let path = match self.line() {
                Some(Ok(path)) => path,
                Some(Err(reason)) => return Some(Err(reason)),
                None => {
                    let path = self.arguments.next()?;
                    if path.as_os_str() == "-" {
                        self.list = Some(std::io::stdin().lock());
                        continue;
                    }
                    path.clone()
                }
            };
            if !path.is_dir() {
                return Some(Ok(path));
            }
            match images_in(&path) {
                Ok(images) => self.found = images,
                Err(reason) => return Some(Err(reason)),
            }
        }
    }
}

fn images_in(folder: &Path) -> Result<VecDeque<PathBuf>, String> {
    let images = images_below(folder).map_err(|error| error.to_string())?;
    if images.is_empty() {
        return Err(format!("{}: the folder holds no image", folder.display()));
    }
    Ok(images.into())
}

/// The next line that is not empty, without its end.
fn next_line(list: &mut impl BufRead) -> Result<Option<PathBuf>, String> {
    loop {
        let mut line = Vec::new();
        let read = list.take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 == LONGEST_LINE && line.last() != Some(&b'\n') {
            return Err(format!("a line is longer than {LONGEST_LINE} bytes; expected one path per line"));
        }
        let end = |line: &mut Vec<u8>, byte| {
            if line.last() == Some(&byte) {
                line.pop();
            }
        };
        end(&mut line, b'\n');
        end(&mut line, b'\r');
        if !line.is_empty() {
            return Ok(Some(path_of(line)?));
        }
    }
}

#[cfg(unix)]
fn path_of(line: Vec<u8>) -> Result<PathBuf, String> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(line).into())
}

#[cfg(not(unix))]
fn path_of(line: Vec<u8>) -> Result<PathBuf, String> {
    String::from_utf8(line).map(PathBuf::from).map_err(|_| "a line is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_end_and_no_endless_one() {
        let mut list = "a.png\r\n\n\r\nb c.png\nlast".as_bytes();
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut list).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["a.png", "b c.png", "last"].map(PathBuf::from));
        let endless = vec![b'x'; 2 * LONGEST_LINE as usize];
        assert!(next_line(&mut endless.as_slice()).unwrap_err().contains("one path per line"));
    }
}
