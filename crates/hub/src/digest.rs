//! Hashes of files: what publishers and the hub say of contents, and what the contents are.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::error::{AtPath, FetchError};
use crate::watch::Watch;

/// What the contents of a file have to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// SHA-256 in hexadecimal: large files of the hub.
    Sha256(String),
    /// git's SHA-1 of a blob: small files of the hub.
    GitSha1(String),
    /// The first digits of the MD5: old downloads.
    Md5Prefix(String),
}

impl Expected {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::GitSha1(_) => "git SHA-1",
            Self::Md5Prefix(_) => "an MD5 that begins with",
        }
    }

    pub(crate) fn text(&self) -> &str {
        let (Self::Sha256(text) | Self::GitSha1(text) | Self::Md5Prefix(text)) = self;
        text
    }
}

/// The hashes of one file.
#[derive(Debug)]
pub(crate) struct Digests {
    pub(crate) sha256: String,
    git_sha1: Option<String>,
    md5: Option<String>,
}

impl Digests {
    /// Reads the file at `path` and hashes it: SHA-256, and what `expected` asks for besides.
    pub(crate) fn of(
        path: &Path,
        expected: Option<&Expected>,
        watch: &Watch<'_>,
    ) -> Result<Self, FetchError> {
        let mut file = File::open(path).at(path)?;
        let length = file.metadata().at(path)?.len();
        let mut sha256 = Sha256::new();
        let mut git_sha1 = matches!(expected, Some(Expected::GitSha1(_))).then(Sha1::new);
        let mut md5 = matches!(expected, Some(Expected::Md5Prefix(_))).then(Md5::new);
        if let Some(git_sha1) = &mut git_sha1 {
            git_sha1.update(format!("blob {length}\0"));
        }
        let mut buffer = vec![0; 1 << 18];
        loop {
            watch.check(None)?;
            let amount = file.read(&mut buffer).at(path)?;
            if amount == 0 {
                break;
            }
            let part = &buffer[..amount];
            sha256.update(part);
            git_sha1.iter_mut().for_each(|digest| digest.update(part));
            md5.iter_mut().for_each(|digest| digest.update(part));
        }
        Ok(Self {
            sha256: hexadecimal(&sha256.finalize()),
            git_sha1: git_sha1.map(|digest| hexadecimal(&digest.finalize())),
            md5: md5.map(|digest| hexadecimal(&digest.finalize())),
        })
    }

    /// What was found instead of `expected`; `None` if it is that.
    pub(crate) fn other_than(&self, expected: &Expected) -> Option<String> {
        let (found, same) = match expected {
            Expected::Sha256(text) => (Some(&self.sha256), self.sha256 == *text),
            Expected::GitSha1(text) => (self.git_sha1.as_ref(), self.git_sha1.as_ref() == Some(text)),
            Expected::Md5Prefix(text) => {
                (self.md5.as_ref(), self.md5.as_ref().is_some_and(|md5| md5.starts_with(text)))
            }
        };
        (!same).then(|| found.cloned().unwrap_or_default())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `text` is `digits` lower-case hexadecimal digits. Such a text is safe as the name of a file.
pub(crate) fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(contents: &[u8], expected: &Expected) -> Digests {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), contents).unwrap();
        let watch = Watch { stop: &|| false, tell: &mut |_| {} };
        Digests::of(file.path(), Some(expected), &watch).unwrap()
    }

    #[test]
    fn hashes_are_those_of_other_programs() {
        // `printf 'hello\n' | sha256sum`, `git hash-object`, `md5sum`.
        let cases = [
            Expected::Sha256("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03".into()),
            Expected::GitSha1("ce013625030ba8dba906f756967f9e9ca394464a".into()),
            Expected::Md5Prefix("b1946ac92492d234".into()),
        ];
        for expected in &cases {
            assert_eq!(digests(b"hello\n", expected).other_than(expected), None, "{expected:?}");
            let found = digests(b"hullo\n", expected).other_than(expected).unwrap();
            assert!(!found.is_empty() && !found.starts_with(expected.text()), "{expected:?}: {found}");
        }
    }

    #[test]
    fn only_digits_make_a_hash() {
        assert!(is_hexadecimal("00ff", 4));
        for text in ["00f", "00FF", "../f", "00fg"] {
            assert!(!is_hexadecimal(text, 4), "{text}");
        }
    }
}
