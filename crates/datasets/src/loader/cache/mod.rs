//! Squares on disk: the resized and cropped images of a data set as bytes in one file, mapped into memory, so that an
//! evaluation or an un-augmented training does not decode the same files again and again.
//!
//! The file is only ever replaced as a whole, by renaming, and every part of it carries a sum: what is read from it is
//! what was decoded, or it is decoded again.

mod build;
mod folder;
mod layout;
mod map;
mod stamp;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regulus_images::{Filter, Oddity, PassOrder, Preprocess, PreprocessError};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{Source, Workers};
pub use build::Tick;
pub use folder::{CacheFolder, default_folder};

use build::Opened;
use layout::{Key, Layout, Table};
use map::MappedFile;

/// Cached squares of a source, by the index of the image.
#[derive(Debug)]
pub struct SquareCache {
    path: PathBuf,
    file: MappedFile,
    table: Table,
    source: Arc<dyn Source>,
    pixels: [u8; 32],
    damaged: AtomicUsize,
}

/// What opening a cache did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CacheReport {
    /// Images of the source.
    pub images: usize,
    /// Images whose squares are in the cache now.
    pub cached: usize,
    /// Squares that the file had already.
    pub kept: usize,
    /// Squares that were decoded for it.
    pub decoded: usize,
    /// Images that could not be decoded. They are tried again at every visit, and built again when their files change.
    pub faults: usize,
    /// Length of the file in bytes.
    pub bytes: u64,
}

/// Why there is no cache. A loader works without one.
#[derive(Debug, Error)]
pub enum CacheError {
    /// The file, its lock, or its folder cannot be read or written.
    #[error("cannot {action} {}: {source}; choose another folder for the cache, or none", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Not a single square fits.
    #[error("the cache may take {budget} bytes, and {needed} are needed for one image; give it more room")]
    Budget {
        /// Bytes that the cache may take.
        budget: u64,
        /// Bytes of a file with one square.
        needed: u64,
    },
    /// The preprocessing makes no squares.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The source has no images.
    #[error("there are no images to cache")]
    Empty,
}

impl CacheError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

impl SquareCache {
    /// The name of a cache file for the data called `name` (also a path): one for each data set and preprocessing.
    pub fn file_name(name: &str, preprocess: &Preprocess) -> String {
        let plain = |character: char| {
            if character.is_alphanumeric() || matches!(character, '-' | '_') { character } else { '_' }
        };
        let mut hash = pixels_hash(preprocess);
        hash.update(name);
        let digest: String = crate::listing::hex(hash).chars().take(12).collect();
        let name: String = name.chars().map(plain).take(50).collect();
        format!("{name}-{}-{digest}.squares", preprocess.crop)
    }

    /// The cache of `source` in the file at `path`, after bringing it up to date.
    ///
    /// The file belongs to this list of images and this preprocessing; one of another list, or a damaged one, is built
    /// anew. Images whose files have another size or modification time than when they were decoded are decoded again.
    /// A file takes at most `budget` bytes: where not all squares fit, those of the first images are cached. Decoding
    /// runs on `workers`. If another process is building the file, this one waits for it. `tick` is told of images that
    /// are done.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn open_or_build(
        path: &Path,
        source: &Arc<dyn Source>,
        preprocess: &Preprocess,
        budget: u64,
        workers: &Workers,
        tick: Tick<'_>,
    ) -> Result<(Self, CacheReport), CacheError> {
        preprocess.check()?;
        let layout = Layout::within(budget, preprocess.crop, source.len())?;
        let key = Key {
            side: preprocess.crop as u32,
            images: source.len() as u64,
            pixels: pixels_hash(preprocess).finalize().into(),
            listing: listing_digest(&**source),
        };
        let (Opened { file, table }, report) =
            build::up_to_date(path, source, preprocess, &layout, &key, workers, tick)?;
        let (path, source, pixels) = (path.to_path_buf(), Arc::clone(source), key.pixels);
        Ok((Self { path, file, table, source, pixels, damaged: AtomicUsize::new(0) }, report))
    }

    /// Whether these are the squares of this very source.
    pub(super) fn is_of(&self, source: &Arc<dyn Source>, preprocess: &Preprocess) -> bool {
        let pixels: [u8; 32] = pixels_hash(preprocess).finalize().into();
        std::ptr::addr_eq(Arc::as_ptr(&self.source), Arc::as_ptr(source)) && self.pixels == pixels
    }

    /// The square of image `index`, `[side, side, 3]`, if it is cached and undamaged.
    ///
    /// When damage is found for the first time, the file is removed, so that the next process builds a new one.
    pub fn square(&self, index: usize) -> Option<&[u8]> {
        let (bytes, sum) = self.table.square(self.file.bytes(), index)?;
        if crc32fast::hash(bytes) == sum {
            return Some(bytes);
        }
        if self.damaged.fetch_add(1, Ordering::Relaxed) == 0 {
            // Where it cannot be removed, it is found damaged again.
            let _ = std::fs::remove_file(&self.path);
        }
        None
    }

    /// What the cache has of image `index`; a square is checked against its sum.
    pub(crate) fn state(&self, index: usize) -> Cached {
        match self.table.rows.get(index).copied().flatten() {
            Some(layout::Row { sum: None, .. }) => Cached::Undecodable,
            Some(layout::Row { oddities, .. }) if self.square(index).is_some() => {
                Cached::Square(oddities_of(oddities))
            }
            _ => Cached::Absent,
        }
    }

    /// The square of an image whose [`state`](Self::state) has been checked.
    pub(crate) fn checked_square(&self, index: usize) -> &[u8] {
        self.table.square(self.file.bytes(), index).map_or(&[], |(bytes, _)| bytes)
    }

    /// The name of the cache file of one list of images, whatever else is cached under `name`.
    pub(crate) fn file_name_of(name: &str, source: &dyn Source, preprocess: &Preprocess) -> String {
        let list: String = listing_digest(source).iter().map(|byte| format!("{byte:02x}")).collect();
        Self::file_name(&format!("{name}-{list}"), preprocess)
    }

    /// Bytes of a file with the squares of `images` images; `None` beyond what a file can hold.
    pub fn length(images: usize, side: usize) -> Option<u64> {
        let square = side.checked_mul(side)?.checked_mul(3)?;
        Layout { stored: images, square }.length()
    }

    /// How often a damaged square was found.
    pub fn damaged(&self) -> usize {
        self.damaged.load(Ordering::Relaxed)
    }
}

/// What a cache has of an image.
pub(crate) enum Cached {
    /// An undamaged square, and what is odd about its original.
    Square(Vec<Oddity>),
    /// The image could not be decoded.
    Undecodable,
    /// Nothing.
    Absent,
}

fn bits_of(oddities: &[Oddity]) -> u16 {
    let numbered = Oddity::ALL.iter().enumerate();
    numbered.filter(|(_, oddity)| oddities.contains(oddity)).fold(0, |bits, (number, _)| bits | 1 << number)
}

fn oddities_of(bits: u16) -> Vec<Oddity> {
    let numbered = Oddity::ALL.into_iter().enumerate();
    numbered.filter(|(number, _)| bits >> number & 1 == 1).map(|(_, oddity)| oddity).collect()
}

/// Raised when the same file and preprocessing give other pixels than before.
const PIXELS_VERSION: u32 = 1;

/// What the pixels of a square depend on besides the file. Normalisation comes after the cache.
fn pixels_hash(preprocess: &Preprocess) -> Sha256 {
    let filter: u8 = match preprocess.filter {
        Filter::Bicubic => 0,
        Filter::Bilinear => 1,
    };
    let order: u8 = match PassOrder::default() {
        PassOrder::Pillow13 => 0,
        PassOrder::Classic => 1,
    };
    let mut hash = Sha256::new();
    hash.update(PIXELS_VERSION.to_le_bytes());
    hash.update((preprocess.resize as u64).to_le_bytes());
    hash.update((preprocess.crop as u64).to_le_bytes());
    hash.update([filter, order]);
    hash
}

/// Which images there are, in which order, and where.
fn listing_digest(source: &dyn Source) -> [u8; 32] {
    let mut hash = Sha256::new();
    for index in 0..source.len() {
        let place = source.place(index);
        let path = place.path.as_os_str().as_encoded_bytes();
        hash.update((path.len() as u64).to_le_bytes());
        hash.update(path);
        hash.update(place.offset.to_le_bytes());
    }
    hash.finalize().into()
}
