//! Lists of merges: the files that say which two symbols of a word become one, most frequent first.

use super::TokenizerError;
use std::collections::HashMap;
use std::path::Path;

/// Two symbols that become one, and the line they stand in.
pub(super) struct Merge {
    pub(super) first: String,
    pub(super) second: String,
    pub(super) line: usize,
}

impl Merge {
    pub(super) fn token(&self) -> String {
        format!("{}{}", self.first, self.second)
    }

    /// Whether both symbols are in a vocabulary.
    pub(super) fn check(&self, vocabulary: &HashMap<String, u32>, path: &Path) -> Result<(), TokenizerError> {
        match [&self.first, &self.second].into_iter().find(|symbol| !vocabulary.contains_key(*symbol)) {
            Some(symbol) => {
                let reason = format!("the symbol {symbol:?} is neither a byte nor made by another merge");
                Err(TokenizerError::Line { path: path.into(), line: self.line, reason })
            }
            None => Ok(()),
        }
    }
}

/// The merges of a file whose first line is a header such as `#version: 0.2`, at most `most` of them.
pub(super) fn parse(text: &str, most: usize, path: &Path) -> Result<Vec<Merge>, TokenizerError> {
    let fault = |line, reason: String| TokenizerError::Line { path: path.into(), line, reason };
    let text = text.trim_end_matches(['\r', '\n']);
    let mut lines = (1..).zip(text.split('\n'));
    match lines.next() {
        Some((_, header)) if header.contains("#version") => {}
        _ => return Err(fault(1, "expected a header with `#version`, as lists of merges begin".into())),
    }
    lines
        .take(most)
        .map(|(line, text)| {
            let symbols: Vec<&str> = text.split_whitespace().collect();
            match symbols[..] {
                [first, second] => Ok(Merge { first: first.into(), second: second.into(), line }),
                _ => Err(fault(line, format!("expected two symbols, found {}", symbols.len()))),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_line_ends_and_blank_ends_are_no_merges() {
        let path = Path::new("x");
        let text = "\"x.txt#version: 0.2\na b\r\nc d</w>\n\n";
        let merges = parse(text, 9, path).unwrap();
        assert_eq!(merges.iter().map(Merge::token).collect::<Vec<_>>(), ["ab", "cd</w>"]);
        assert_eq!((merges[1].line, parse(text, 1, path).unwrap().len()), (3, 1));
    }

    #[test]
    fn wrong_lines_are_named() {
        for (text, line) in
            [("", 1), ("a b\n", 1), ("#version\na\n", 2), ("#version\na b\n\nc d", 3), ("#version\na b c", 2)]
        {
            let found = parse(text, 9, Path::new("x")).map(|merges| merges.len());
            assert!(
                matches!(found, Err(TokenizerError::Line { line: at, .. }) if at == line),
                "{text:?}: {found:?}"
            );
        }
    }
}
