//! A file in memory without a copy. The only module of this crate that needs `unsafe`.

use crate::sha256::Digest;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Fewer bytes than this are not worth a call of the operating system.
const WORTH_RELEASING: usize = 64 << 10;
/// Bytes that are digested at a time.
const DIGEST_STEP: usize = 4 << 20;

/// A read-only view of a file. Only the parts that are touched are read from disk.
#[derive(Debug)]
pub(crate) struct MappedFile {
    contents: Contents,
    /// Whether somebody goes on looking at the contents: see [`SharedBytes`].
    is_shared: AtomicBool,
}

#[derive(Debug)]
enum Contents {
    Map(memmap2::Mmap),
    /// Bytes that were in memory already, and the empty file, which not every system can map.
    Memory(Vec<u8>),
}

impl MappedFile {
    /// Maps the file at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // Asked before opening: opening a named pipe would wait for a writer.
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "expected a file, not a folder or device",
            ));
        }
        if metadata.len() == 0 {
            return Ok(Self::in_memory(Vec::new()));
        }
        let file = File::open(path)?;
        // SAFETY: the map is read-only, lives no longer than `self`, and its bytes are only ever
        // read as plain numbers, for which every bit pattern is valid. As for every program that
        // maps files, another process must not change the file meanwhile, which for shared bytes
        // means as long as a tensor looks at them; our own writers replace files by renaming and
        // never write into an existing one.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self { contents: Contents::Map(map), is_shared: AtomicBool::new(false) })
    }

    /// A file whose contents are in memory.
    pub(crate) fn in_memory(bytes: Vec<u8>) -> Self {
        Self { contents: Contents::Memory(bytes), is_shared: AtomicBool::new(false) }
    }

    /// The contents of the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.contents {
            Contents::Map(map) => map,
            Contents::Memory(bytes) => bytes,
        }
    }

    /// The bytes of `range`, which keep the file open. `None` if it has none there.
    pub(crate) fn share(self: &Arc<Self>, range: Range<usize>) -> Option<SharedBytes> {
        self.bytes().get(range.clone())?;
        self.is_shared.store(true, Ordering::Relaxed);
        Some(SharedBytes { file: Arc::clone(self), range })
    }

    /// Says that `part`, a slice of [`MappedFile::bytes`], will hardly be read again, so that the memory which
    /// holds its pages is free for other things. Reading it again fetches them again.
    pub(crate) fn release(&self, part: &[u8]) {
        #[cfg(unix)]
        if let Contents::Map(map) = &self.contents
            && part.len() >= WORTH_RELEASING
            && let Some(offset) = part.as_ptr().addr().checked_sub(map.as_ptr().addr())
        {
            // SAFETY: the map is shared, read-only and of a file. Giving back its pages leaves its contents as they
            // are: the next access reads the same bytes from the file.
            #[allow(unsafe_code)]
            let released =
                unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, part.len()) };
            // It is only advice; without it the system takes the pages when it needs them.
            let _ = released;
        }
    }

    /// SHA-256 in hexadecimal. Pages that tensors look at stay where they are; others are given back.
    pub(crate) fn sha256(&self) -> String {
        let mut digest = Digest::default();
        for part in self.bytes().chunks(DIGEST_STEP) {
            digest.update(part);
            if !self.is_shared.load(Ordering::Relaxed) {
                self.release(part);
            }
        }
        digest.finish()
    }
}

/// Bytes of a file where they lie, without a copy. The file stays mapped until the last of them is dropped, and must not
/// be changed until then.
#[derive(Debug, Clone)]
pub struct SharedBytes {
    file: Arc<MappedFile>,
    range: Range<usize>,
}

impl SharedBytes {
    /// Says that these bytes will hardly be read again, so that the memory which holds them is free for other things.
    /// Reading them again fetches them again.
    pub fn release(&self) {
        self.file.release(self.as_ref());
    }
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        // `share` has checked the range, and contents never change their length.
        self.file.bytes().get(self.range.clone()).unwrap_or_default()
    }
}
