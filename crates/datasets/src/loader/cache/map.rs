//! The cache file in memory without a copy. The only module of this crate that needs `unsafe`.

use std::fs::File;
use std::io;
use std::path::Path;

/// A read-only view of a file; only what is touched is read from disk.
#[derive(Debug)]
pub(super) struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps the file at `path`, if it is a file of at least one byte.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Asked before opening: opening a named pipe would wait for a writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        let file = File::open(path)?;
        // SAFETY: the map is read-only, lives no longer than `self`, and its bytes are only ever read as numbers, for
        // which every bit pattern is valid. As for every program that maps files, another program must not shorten the
        // file meanwhile; our own writers replace it by renaming and never write into an existing one, so that a
        // process that has mapped the old file keeps it.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self(map))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
