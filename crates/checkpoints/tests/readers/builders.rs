//! Files written by hand, so that they can be wrong in one chosen way.

use regulus_checkpoints::{Checkpoint, CheckpointError};
use std::path::PathBuf;

/// A fixture by its name.
pub fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name].iter().collect()
}

/// The bytes of a fixture.
pub fn fixture_bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

/// Reads `bytes` as a file.
pub fn open(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::from_bytes("file", bytes.to_vec())
}

/// The message of the error that opening `bytes` must give.
pub fn refusal(bytes: &[u8]) -> String {
    open(bytes).map(|checkpoint| checkpoint.container()).unwrap_err().to_string()
}

/// An entry of a zip archive.
pub struct ZipEntry<'a> {
    pub name: &'a str,
    pub bytes: &'a [u8],
    pub flags: u16,
    pub method: u16,
    /// Length that both headers claim.
    pub length: u32,
}

impl<'a> ZipEntry<'a> {
    pub fn stored(name: &'a str, bytes: &'a [u8]) -> Self {
        Self { name, bytes, flags: 0, method: 0, length: bytes.len() as u32 }
    }
}

/// A zip archive. Times and checksums, which nobody reads, are zero.
pub fn zip(entries: &[ZipEntry<'_>]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let header = file.len() as u32;
        let mut common = Vec::new();
        common.extend(20u16.to_le_bytes());
        common.extend(entry.flags.to_le_bytes());
        common.extend(entry.method.to_le_bytes());
        common.extend([0; 8]);
        common.extend(entry.length.to_le_bytes());
        common.extend(entry.length.to_le_bytes());
        common.extend((entry.name.len() as u16).to_le_bytes());
        common.extend(0u16.to_le_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(entry.name.as_bytes());
        file.extend(entry.bytes);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(header.to_le_bytes());
        directory.extend(entry.name.as_bytes());
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}

/// A `torch.save` archive with this pickle and one storage, `0`.
pub fn archive(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    zip(&[ZipEntry::stored("a/data.pkl", pickle), ZipEntry::stored("a/data/0", storage)])
}

/// An old `torch.save` file with this pickle and its storages, each with its length in elements.
pub fn legacy(pickle: &[u8], storages: &[(&str, i64, &[u8])]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.".to_vec();
    file.extend(b"\x80\x02}X\x0d\0\0\0little_endian\x88s.");
    file.extend(pickle);
    file.extend(b"\x80\x02](");
    storages.iter().for_each(|(key, ..)| file.extend(text(key)));
    file.extend(b"e.");
    for (_, numel, bytes) in storages {
        file.extend(numel.to_le_bytes());
        file.extend(*bytes);
    }
    file
}

/// Instructions that push a text.
pub fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// Instructions that push an integer.
pub fn integer(number: i64) -> Vec<u8> {
    [&b"\x8a\x08"[..], &number.to_le_bytes()].concat()
}

/// Instructions that push a tuple of integers.
pub fn integers(numbers: &[i64]) -> Vec<u8> {
    [b"(".to_vec(), numbers.iter().flat_map(|&number| integer(number)).collect(), b"t".to_vec()].concat()
}

/// Instructions that push a tensor.
pub struct TensorPickle<'a> {
    pub class: &'a str,
    pub key: &'a str,
    pub numel: i64,
    /// Instructions that push the view of an old file, or nothing.
    pub view: &'a [u8],
    pub offset: i64,
    pub shape: &'a [i64],
    pub strides: &'a [i64],
}

impl Default for TensorPickle<'_> {
    /// Six floats of storage `0` as a matrix of 2 x 3.
    fn default() -> Self {
        Self {
            class: "FloatStorage",
            key: "0",
            numel: 6,
            view: b"",
            offset: 0,
            shape: &[2, 3],
            strides: &[3, 1],
        }
    }
}

impl TensorPickle<'_> {
    pub fn instructions(&self) -> Vec<u8> {
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
            text("storage"),
            format!("ctorch\n{}\n", self.class).into_bytes(),
            text(self.key),
            text("cpu"),
            integer(self.numel),
            self.view.to_vec(),
            b"tQ".to_vec(),
            integer(self.offset),
            integers(self.shape),
            integers(self.strides),
            b"\x89}tR".to_vec(),
        ]
        .concat()
    }

    /// A pickle of a dict with this tensor under the key `t`.
    pub fn pickle(&self) -> Vec<u8> {
        [b"\x80\x02}".to_vec(), text("t"), self.instructions(), b"s.".to_vec()].concat()
    }
}
