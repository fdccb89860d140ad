//! Paths out of files that strangers wrote. A split file must not lead out of the folder of its data set, so a path is
//! checked before it is ever joined to one. File names are bytes on Unix and need not be UTF-8.

use std::borrow::Cow;
use std::path::Path;

use thiserror::Error;

/// Longest path of an entry, in bytes; the limit of Linux.
const MAX_BYTES: usize = 4096;

/// Why a path of an entry is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathFault {
    /// Nothing, or only dots.
    #[error("it is empty")]
    Empty,
    /// It starts at the root of a file system or drive.
    #[error("it is absolute; paths are relative to the folder of the data set")]
    Absolute,
    /// It has a part `..`.
    #[error("it leads out of the folder of the data set (`..`)")]
    Traversal,
    /// It has a byte that no file name has.
    #[error("it holds a zero byte")]
    ZeroByte,
    /// No file system takes it.
    #[error("it is longer than 4096 bytes")]
    TooLong,
    /// This platform needs names in UTF-8.
    #[error("it is not UTF-8, which this platform needs")]
    NotUtf8,
}

/// The path with `/` between its parts and without parts `.`, if it stays inside the folder it is relative to.
pub(crate) fn relative(path: &[u8]) -> Result<Cow<'_, [u8]>, PathFault> {
    let drive = matches!(path, [letter, b':', rest @ ..]
        if letter.is_ascii_alphabetic() && (cfg!(windows) || matches!(rest.first(), Some(b'/' | b'\\'))));
    if path.contains(&0) {
        return Err(PathFault::ZeroByte);
    }
    if path.len() > MAX_BYTES {
        return Err(PathFault::TooLong);
    }
    if drive || matches!(path.first(), Some(b'/' | b'\\')) {
        return Err(PathFault::Absolute);
    }
    // A backslash is part of a name on Unix and separates parts on Windows: neither may make a `..`.
    if path.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| part == b"..") {
        return Err(PathFault::Traversal);
    }
    if !cfg!(unix) && std::str::from_utf8(path).is_err() {
        return Err(PathFault::NotUtf8);
    }
    let plain = |part: &[u8]| !part.is_empty() && part != b".";
    if path.is_empty() || !path.split(|&byte| byte == b'/').any(plain) {
        return Err(PathFault::Empty);
    }
    if path.split(|&byte| byte == b'/').all(plain) {
        return Ok(Cow::Borrowed(path));
    }
    let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|part| plain(part)).collect();
    Ok(Cow::Owned(parts.join(&b'/')))
}

/// Stored bytes as a path.
#[cfg(unix)]
pub(crate) fn as_path(bytes: &[u8]) -> Cow<'_, Path> {
    use std::os::unix::ffi::OsStrExt;
    Cow::Borrowed(Path::new(std::ffi::OsStr::from_bytes(bytes)))
}

/// Stored bytes as a path; [`relative`] and [`bytes_of`] only let UTF-8 through here.
#[cfg(not(unix))]
pub(crate) fn as_path(bytes: &[u8]) -> Cow<'_, Path> {
    Cow::Owned(String::from_utf8_lossy(bytes).into_owned().into())
}

/// A found file's relative path as stored bytes; `None` where the platform cannot write it down.
pub(crate) fn bytes_of(path: &Path) -> Option<Vec<u8>> {
    let part = |part: &std::ffi::OsStr| {
        (cfg!(unix) || part.to_str().is_some()).then(|| part.as_encoded_bytes().to_vec())
    };
    let parts: Option<Vec<Vec<u8>>> = path.iter().map(part).collect();
    parts.map(|parts| parts.join(&b'/'))
}

/// A path for text files and messages: UTF-8 as it is, `%` and every other byte as `%XX`.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let escape = |text: &mut String, bytes: &[u8]| {
        bytes.iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '%' {
                escape(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(character);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// The bytes of a [`shown`] path; `None` for a `%` without two digits behind it.
pub(crate) fn unshown(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for (path, fault) in [
            ("", PathFault::Empty),
            ("./.", PathFault::Empty),
            ("/etc/passwd", PathFault::Absolute),
            ("\\\\server\\share", PathFault::Absolute),
            ("C:\\images\\a.jpg", PathFault::Absolute),
            ("../a.jpg", PathFault::Traversal),
            ("a/../../b.jpg", PathFault::Traversal),
            ("a\\..\\..\\b.jpg", PathFault::Traversal),
            ("a\0b", PathFault::ZeroByte),
        ] {
            assert_eq!(relative(path.as_bytes()), Err(fault), "{path:?}");
        }
        assert_eq!(relative(&[b'a'; 5000]), Err(PathFault::TooLong));
    }

    #[test]
    fn ordinary_names_pass() {
        for path in ["a.jpg", "a/b..c/...jpg", "F-16A:B.jpg", "a b/c%d.jpg"] {
            assert_eq!(relative(path.as_bytes()).as_deref(), Ok(path.as_bytes()));
        }
        assert_eq!(relative(b"./a//b/./c.jpg").as_deref(), Ok(&b"a/b/c.jpg"[..]));
        #[cfg(unix)]
        assert_eq!(relative(b"caf\xe9/1.jpg").as_deref(), Ok(&b"caf\xe9/1.jpg"[..]));
    }

    #[test]
    fn what_cannot_be_shown_is_escaped() {
        assert_eq!(shown(b"caf\xe9 50%\t\xc3\xa9.jpg"), "caf%E9 50%25%09\u{e9}.jpg");
    }

    proptest! {
        #[test]
        fn what_passes_stays_inside(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(path) = relative(&bytes) {
                let path = as_path(&path);
                prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
            let text = shown(&bytes);
            prop_assert!(!text.contains(char::is_control));
            prop_assert_eq!(unshown(&text), Some(bytes));
        }
    }
}
