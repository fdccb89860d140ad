//! The squares of whole data sets, for training and evaluation. From a cache file that is mapped into memory, so that
//! a data set may be larger than memory and is decoded once for all runs; or decoded into memory, where there is no cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use regulus_images::{Oddity, Preprocess};
use thiserror::Error;

use super::cache::{Cached, Tick};
use super::pipeline::Pipeline;
use super::{CacheError, CacheFolder, ImageFault, Source, SquareCache, Workers};
use crate::Squares;

/// Where squares of images on disk are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SquareStore {
    /// Bytes that the squares of a data set may take in memory.
    pub memory: u64,
    /// The cache, which is used before memory; `None` for none.
    pub cache: Option<CacheFolder>,
}

impl SquareStore {
    /// Squares in memory only, of at most `memory` bytes.
    pub fn in_memory(memory: u64) -> Self {
        Self { memory, cache: None }
    }
}

impl Default for SquareStore {
    /// 4 GiB of memory and no cache.
    fn default() -> Self {
        Self::in_memory(4 << 30)
    }
}

/// Squares that can be kept nowhere.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{images} images of {side} x {side} pixels need {needed} bytes; {memory} are allowed in memory and {} in a cache: \
     take fewer images, or give the cache more room", .cache.unwrap_or(0)
)]
pub struct StoreError {
    /// Number of images of all splits.
    pub images: usize,
    /// Side of a square in pixels.
    pub side: usize,
    /// Bytes that they need.
    pub needed: u64,
    /// Bytes that they may take in memory.
    pub memory: u64,
    /// Bytes that cache files may take, if there is a cache.
    pub cache: Option<u64>,
}

/// The squares of one list of images.
#[derive(Debug, Default)]
pub(crate) struct ReadSquares {
    pub squares: Squares,
    /// The images that have a square, in order.
    pub kept: Vec<usize>,
    /// The others, in order.
    pub faults: Vec<ImageFault>,
    /// How many images are odd in which way.
    pub oddities: BTreeMap<Oddity, usize>,
}

impl ReadSquares {
    fn count(&mut self, index: usize, oddities: Vec<Oddity>) {
        self.kept.push(index);
        oddities.into_iter().for_each(|oddity| *self.oddities.entry(oddity).or_default() += 1);
    }
}

/// Reads the squares of a data set, list by list.
pub(crate) struct SquareReader<'a> {
    name: &'a str,
    preprocess: &'a Preprocess,
    cache: Option<&'a CacheFolder>,
    store: &'a SquareStore,
    /// Bytes that are left in memory.
    left: u64,
    tick: Tick<'a>,
    /// Why lists are not cached.
    pub notices: Vec<String>,
}

impl<'a> SquareReader<'a> {
    /// A reader for the data called `name`, of `images` images in all.
    ///
    /// # Errors
    /// [`StoreError`] if there is no room for them, neither in the cache nor in memory.
    pub fn new(
        store: &'a SquareStore,
        name: &'a str,
        images: usize,
        preprocess: &'a Preprocess,
        tick: Tick<'a>,
    ) -> Result<Self, StoreError> {
        let left = store.memory.min(isize::MAX as u64);
        let mut reader = Self { name, preprocess, cache: None, store, left, tick, notices: Vec::new() };
        let length = SquareCache::length(images, preprocess.crop).unwrap_or(u64::MAX);
        reader.cache = store.cache.as_ref().filter(|folder| length <= folder.budget);
        if reader.cache.is_none() && reader.bytes(images) > left {
            return Err(reader.over_budget(images));
        }
        Ok(reader)
    }

    /// Side of a square in pixels.
    pub fn side(&self) -> usize {
        self.preprocess.crop
    }

    /// Squares of all images of the list called `part`. Images that cannot be decoded are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the cache cannot be used, and memory has no room.
    pub fn read(&mut self, part: &str, source: Arc<dyn Source>) -> Result<ReadSquares, StoreError> {
        if source.is_empty() {
            return Ok(ReadSquares::default());
        }
        if let Some(folder) = self.cache {
            match self.cached(folder, part, &source) {
                Ok(Some(read)) => return Ok(read),
                Ok(None) => {}
                Err(error) => self.notices.push(format!("images of {part} are not cached: {error}")),
            }
        }
        self.decoded(&source)
    }

    /// From the cache; `None` for files that have changed a moment ago or cannot be read now, which it does not store.
    fn cached(
        &self,
        folder: &CacheFolder,
        part: &str,
        source: &Arc<dyn Source>,
    ) -> Result<Option<ReadSquares>, CacheError> {
        let Self { name, preprocess, tick, .. } = self;
        let path =
            folder.path.join(SquareCache::file_name_of(&format!("{name}-{part}"), &**source, preprocess));
        folder.make_room(&path, SquareCache::length(source.len(), preprocess.crop).unwrap_or(u64::MAX));
        let workers = Workers::global();
        // A damaged file is removed when the damage is found, and made again.
        for _ in 0..2 {
            let (cache, _) =
                SquareCache::open_or_build(&path, source, preprocess, folder.budget, &workers, tick)?;
            CacheFolder::used(&path);
            let states: Vec<Cached> =
                (0..source.len()).into_par_iter().map(|index| cache.state(index)).collect();
            let absent = states.iter().any(|state| matches!(state, Cached::Absent));
            match (absent, cache.damaged()) {
                (false, _) => {
                    return Ok(Some(of_cache(cache, states, &Pipeline::of_squares(source, preprocess))));
                }
                (true, 0) => return Ok(None),
                (true, _) => {}
            }
        }
        Ok(None)
    }

    /// Into memory, in parallel on the current pool; every image has its place before decoding starts.
    fn decoded(&mut self, source: &Arc<dyn Source>) -> Result<ReadSquares, StoreError> {
        let needed = self.bytes(source.len());
        if needed > self.left {
            return Err(self.over_budget(source.len()));
        }
        self.left -= needed;
        let pipeline = Pipeline::of_squares(source, self.preprocess);
        let bytes = pipeline.image_len();
        let mut pixels = vec![0; source.len() * bytes];
        let outcomes: Vec<Result<Vec<Oddity>, ImageFault>> = pixels
            .par_chunks_exact_mut(bytes.max(1))
            .with_max_len(1)
            .enumerate()
            .map(|(index, square)| {
                let outcome = pipeline.square(index, square);
                (self.tick)(1);
                outcome
            })
            .collect();
        let mut read = ReadSquares::default();
        for (index, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(oddities) => {
                    pixels.copy_within(index * bytes..(index + 1) * bytes, read.kept.len() * bytes);
                    read.count(index, oddities);
                }
                Err(fault) => read.faults.push(fault),
            }
        }
        pixels.truncate(read.kept.len() * bytes);
        Ok(ReadSquares { squares: pixels.into(), ..read })
    }

    /// Bytes of the squares of `images` images.
    fn bytes(&self, images: usize) -> u64 {
        let side = self.preprocess.crop as u64;
        [side, side, 3].iter().fold(images as u64, |bytes, &n| bytes.saturating_mul(n))
    }

    fn over_budget(&self, images: usize) -> StoreError {
        let SquareStore { memory, cache } = self.store;
        StoreError {
            images,
            side: self.preprocess.crop,
            needed: self.bytes(images),
            memory: *memory,
            cache: cache.as_ref().map(|folder| folder.budget),
        }
    }
}

/// The squares that a cache has. What it could not decode is tried again, for the reason.
fn of_cache(cache: SquareCache, states: Vec<Cached>, pipeline: &Pipeline) -> ReadSquares {
    let mut read = ReadSquares::default();
    let mut again = vec![0; pipeline.image_len()];
    for (index, state) in states.into_iter().enumerate() {
        match state {
            Cached::Square(oddities) => read.count(index, oddities),
            Cached::Undecodable | Cached::Absent => {
                read.faults.extend(pipeline.square(index, &mut again).err());
            }
        }
    }
    ReadSquares { squares: Squares::cached(Arc::new(cache), read.kept.clone()), ..read }
}
