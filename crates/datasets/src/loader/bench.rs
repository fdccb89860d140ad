//! How fast a loader is on the images of this machine. `cargo xtask bench loader` prints it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use regulus_images::augment::RandomResizedCrop;
use regulus_images::random::Stream;
use regulus_images::{Preprocess, RgbImage, flip_horizontal};
use serde::Serialize;
use thiserror::Error;

use super::{
    Batch, CacheError, CacheReport, Loader, LoaderError, LoaderOptions, Source, SquareCache, StageSeconds,
    View, Visit, Workers, WorkersError,
};

/// What is measured.
#[derive(Debug, Clone)]
pub struct LoaderBench {
    /// The images.
    pub source: Arc<dyn Source>,
    /// The model's preprocessing.
    pub preprocess: Preprocess,
    /// What is done with them.
    pub work: BenchWork,
    /// Threads; 0 stands for one for each processor.
    pub workers: usize,
    /// Images per batch.
    pub batch: usize,
    /// Passes over the images that are measured, after one that is not.
    pub epochs: u64,
    /// How far the loader works ahead.
    pub options: LoaderOptions,
}

/// What is done with the images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BenchWork {
    /// A random resized crop, mirrored half of the time.
    Train,
    /// The model's resize and crop.
    Evaluation,
    /// The same, from the cache in this file.
    Cached {
        /// The file; it is made if it is not there.
        path: PathBuf,
        /// Most bytes of it.
        budget: u64,
    },
}

impl BenchWork {
    /// `train`, `evaluation` or `cached`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Evaluation => "evaluation",
            Self::Cached { .. } => "cached",
        }
    }
}

/// How fast a loader was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoaderReport {
    /// `train`, `evaluation` or `cached`.
    pub work: &'static str,
    /// Threads.
    pub workers: usize,
    /// Images per batch.
    pub batch: usize,
    /// Side of the squares in pixels.
    pub side: usize,
    /// Images that were delivered while the time was taken.
    pub images: usize,
    /// Images among them that could not be had.
    pub faults: usize,
    /// Seconds from the first batch asked for to the last one had.
    pub seconds: f64,
    /// `images / seconds`.
    pub images_per_second: f64,
    /// Seconds of all workers by stage.
    pub stages: StageSeconds,
    /// Most bytes of originals, as estimated, that were decoded at the same time.
    pub peak_original_bytes: u64,
    /// Buffers for batches that the loader made.
    pub buffers: usize,
    /// Most memory of the process so far in bytes (its resident set; mapped files count), where the system tells.
    pub peak_memory: Option<u64>,
    /// What opening the cache did.
    pub cache: Option<CacheReport>,
}

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// No images, no batch size, or no epochs.
    #[error(
        "nothing to measure: {images} images, {batch} per batch, {epochs} epochs; each must be at least 1"
    )]
    Nothing {
        /// Images of the source.
        images: usize,
        /// Images per batch.
        batch: usize,
        /// Measured epochs.
        epochs: u64,
    },
    /// Threads.
    #[error(transparent)]
    Workers(#[from] WorkersError),
    /// The loader.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Loads all images as normalised `f32` batches, in order, and says how long it took.
///
/// # Errors
/// [`BenchError`].
pub fn bench(bench: &LoaderBench) -> Result<LoaderReport, BenchError> {
    let LoaderBench { source, preprocess, work, batch, epochs, options, .. } = bench;
    let images = source.len();
    let (&batch, &epochs) = (batch, epochs);
    if images == 0 || batch == 0 || epochs == 0 {
        return Err(BenchError::Nothing { images, batch, epochs });
    }
    let workers = Arc::new(Workers::new(bench.workers)?);
    let (view, cache) = match work {
        BenchWork::Train => (random_part(preprocess), None),
        BenchWork::Evaluation => (View::Square, None),
        BenchWork::Cached { path, budget } => {
            let cache = SquareCache::open_or_build(path, source, preprocess, *budget, &workers, &|_| {})?;
            (View::Square, Some(cache))
        }
    };
    let (cache, cache_report) = cache.map(|(cache, report)| (Arc::new(cache), report)).unzip();
    let batches = move |epoch: u64| {
        (0..images).step_by(batch).map(move |first| {
            (first..images.min(first.saturating_add(batch))).map(|index| Visit { index, epoch }).collect()
        })
    };
    let plan = (0..=epochs).flat_map(batches);
    let mut loader =
        Loader::<f32>::new(Arc::clone(source), preprocess.clone(), view, cache, plan, &workers, *options)?;
    let mut loaded = Batch::default();
    for _ in batches(0) {
        loader.next_into(&mut loaded);
    }
    let (start, before) = (Instant::now(), loader.stage_seconds());
    let (mut delivered, mut faults) = (0, 0);
    while loader.next_into(&mut loaded) {
        delivered += loaded.visits.len();
        faults += loaded.faults.len();
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(LoaderReport {
        work: work.name(),
        workers: workers.threads(),
        batch,
        side: preprocess.crop,
        images: delivered,
        faults,
        seconds,
        images_per_second: delivered as f64 / seconds,
        stages: loader.stage_seconds() - before,
        peak_original_bytes: loader.peak_original_bytes(),
        buffers: loader.buffers(),
        peak_memory: peak_memory(),
        cache: cache_report,
    })
}

/// torchvision's `RandomResizedCrop` and `RandomHorizontalFlip` with their defaults and the model's filter.
fn random_part(preprocess: &Preprocess) -> View {
    let crop = RandomResizedCrop {
        scale: (0.08, 1.0),
        ratio: (3.0 / 4.0, 4.0 / 3.0),
        side: preprocess.crop,
        filter: preprocess.filter,
    };
    View::OfOriginal(Arc::new(move |image: RgbImage, Visit { index, epoch }| {
        let mut stream = Stream::new(0, "bench", epoch, index as u64);
        let part = crop.apply(&image, &mut stream);
        if stream.chance(0.5) { flip_horizontal(&part) } else { part }
    }))
}

/// The largest resident set of this process in bytes, on Linux.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}
