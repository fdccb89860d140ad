//! A file in memory without a copy. The only module of this crate that needs `unsafe`.

use std::fs::File;
use std::io;
use std::path::Path;

/// A read-only view of a file. Only the parts that are touched are read from disk.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: memmap2::Mmap,
}

impl MappedFile {
    /// Maps the file at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file"));
        }
        // SAFETY: the map is read-only, lives no longer than `self`, and its bytes are only ever
        // read as plain numbers, for which every bit pattern is valid. As for every program that
        // maps files, another process must not change the file meanwhile; our own writers
        // replace files by renaming and never write into an existing one.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self { map })
    }

    /// The contents of the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }
}
