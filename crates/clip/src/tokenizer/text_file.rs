//! Text files of untrusted size, packed by gzip or not.

use super::TokenizerError;
use flate2::read::MultiGzDecoder;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

/// The most text that is read from a file, in bytes. OpenAI's whole list of merges has three million.
const LIMIT: u64 = 32 << 20;

/// Reads a text file, packed by gzip or not.
pub(super) fn read_text(path: &Path) -> Result<String, TokenizerError> {
    let fault = |source| TokenizerError::Read { path: path.into(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fault)?;
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(fault)?;
    text_of(bytes, path)
}

/// The text of a file's bytes, unpacked if they are gzip's.
pub(super) fn text_of(mut bytes: Vec<u8>, path: &Path) -> Result<String, TokenizerError> {
    let fault = |source| TokenizerError::Read { path: path.into(), source };
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(&*bytes).take(LIMIT + 1).read_to_end(&mut unpacked).map_err(fault)?;
        bytes = unpacked;
    }
    if bytes.len() as u64 > LIMIT {
        return Err(TokenizerError::TooLarge { path: path.into(), limit: LIMIT });
    }
    String::from_utf8(bytes).map_err(|error| fault(Error::new(ErrorKind::InvalidData, error.utf8_error())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn packed_text_is_the_same() {
        let text = "#version\nä b\n";
        assert_eq!(text_of(packed(text.as_bytes()), Path::new("x")).unwrap(), text);
        assert_eq!(text_of(text.into(), Path::new("x")).unwrap(), text);
    }

    #[test]
    fn a_bomb_is_an_error() {
        let bomb = packed(&vec![b'a'; LIMIT as usize + 1]);
        assert!(bomb.len() < 200_000);
        assert!(matches!(text_of(bomb, Path::new("x")), Err(TokenizerError::TooLarge { .. })));
        assert!(matches!(text_of(vec![0x1f, 0x8b, 8], Path::new("x")), Err(TokenizerError::Read { .. })));
        assert!(matches!(text_of(vec![0xff], Path::new("x")), Err(TokenizerError::Read { .. })));
    }
}
