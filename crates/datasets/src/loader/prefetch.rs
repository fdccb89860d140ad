//! Batches ahead of time: a queue of batches that are being made, each with a channel of its own, taken in the order of
//! the plan.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use regulus_images::{Preprocess, PreprocessError};
use thiserror::Error;

use super::gate::Gate;
use super::pipeline::Pipeline;
use super::stages::Stages;
use super::{Batch, Sample, Source, SquareCache, StageSeconds, View, Visit, Workers};

/// How far a loader works ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Most batches that are being made or wait to be taken, at least 1.
    pub prefetch: usize,
    /// Bytes that a loader may take: one half for batches ahead, one for originals that are being decoded (their size
    /// is estimated from their headers). One batch and one image are always let in. The batch that the caller holds,
    /// and the encoded file that each worker reads, come on top.
    pub memory: u64,
}

impl Default for LoaderOptions {
    /// 4 batches, 512 MiB.
    fn default() -> Self {
        Self { prefetch: 4, memory: 512 << 20 }
    }
}

/// Why a loader cannot start.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum LoaderError {
    /// The preprocessing makes no squares.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The cache was opened for another source or preprocessing.
    #[error(
        "the cache holds squares of other images; open it for the source and preprocessing of the loader"
    )]
    OtherCache,
}

/// Delivers the batches of a plan in order; see the [module](super).
///
/// Dropping it ends its jobs: each worker finishes the image that it works on, and no image is begun any more.
pub struct Loader<T: Sample> {
    pipeline: Arc<Pipeline>,
    workers: Arc<Workers>,
    plan: Box<dyn Iterator<Item = Vec<Visit>> + Send>,
    next: Option<Vec<Visit>>,
    options: LoaderOptions,
    ahead: VecDeque<Ahead<T>>,
    bytes_ahead: u64,
    spare: Vec<Vec<T>>,
    buffers: usize,
}

/// A batch that is being made, or the panic of a view.
type Made<T> = Result<Batch<T>, Box<dyn Any + Send>>;

struct Ahead<T> {
    made: Receiver<Made<T>>,
    bytes: u64,
}

impl<T: Sample> Loader<T> {
    /// A loader for the batches that `plan` lists; the first of them are begun at once. Squares come from `cache` where
    /// it has them.
    ///
    /// # Errors
    /// [`LoaderError`].
    pub fn new(
        source: Arc<dyn Source>,
        preprocess: Preprocess,
        view: View,
        cache: Option<Arc<SquareCache>>,
        plan: impl Iterator<Item = Vec<Visit>> + Send + 'static,
        workers: &Arc<Workers>,
        options: LoaderOptions,
    ) -> Result<Self, LoaderError> {
        preprocess.check()?;
        if cache.as_ref().is_some_and(|cache| !cache.is_of(&source, &preprocess)) {
            return Err(LoaderError::OtherCache);
        }
        let pipeline = Pipeline {
            source,
            preprocess,
            view,
            cache,
            gate: Gate::new(options.memory / 2),
            stages: Stages::default(),
            stopped: AtomicBool::new(false),
        };
        let mut plan: Box<dyn Iterator<Item = Vec<Visit>> + Send> = Box::new(plan);
        let mut loader = Self {
            pipeline: Arc::new(pipeline),
            workers: Arc::clone(workers),
            next: plan.next(),
            plan,
            options,
            ahead: VecDeque::new(),
            bytes_ahead: 0,
            spare: Vec::new(),
            buffers: 0,
        };
        loader.work_ahead();
        Ok(loader)
    }

    /// Puts the next batch into `batch`, whose buffer the loader will use again; `false` at the end of the plan, which
    /// leaves `batch` empty.
    ///
    /// # Panics
    /// If the change of a [`View`] panicked: with the same panic, in its turn.
    pub fn next_into(&mut self, batch: &mut Batch<T>) -> bool {
        let used = std::mem::take(batch).pixels;
        if used.capacity() > 0 && self.spare.is_empty() {
            self.spare.push(used);
        }
        let Some(first) = self.ahead.pop_front() else { return false };
        self.bytes_ahead -= first.bytes;
        match self.workers.wait(&first.made) {
            Ok(Ok(made)) => *batch = made,
            Ok(Err(panic)) => resume_unwind(panic),
            // The job was lost without a word: its pool is gone.
            Err(_) => return false,
        }
        self.work_ahead();
        true
    }

    /// Seconds that the workers have spent so far.
    pub fn stage_seconds(&self) -> StageSeconds {
        self.pipeline.stages.seconds()
    }

    /// Most bytes, as estimated, of originals that were decoded at the same time.
    pub fn peak_original_bytes(&self) -> u64 {
        self.pipeline.gate.peak()
    }

    /// Buffers for batches that the loader has made: at most one more than it works ahead.
    pub fn buffers(&self) -> usize {
        self.buffers
    }

    fn work_ahead(&mut self) {
        while let Some(visits) = &self.next {
            let bytes = (visits.len() as u64)
                .saturating_mul(self.pipeline.image_len() as u64)
                .saturating_mul(size_of::<T>() as u64);
            let room = self.ahead.len() < self.options.prefetch
                && self.bytes_ahead.saturating_add(bytes) <= self.options.memory / 2;
            if !room && !self.ahead.is_empty() {
                return;
            }
            if let Some(visits) = std::mem::replace(&mut self.next, self.plan.next()) {
                self.begin(visits, bytes);
            }
        }
    }

    fn begin(&mut self, visits: Vec<Visit>, bytes: u64) {
        let mut pixels = self.spare.pop().unwrap_or_else(|| {
            self.buffers += 1;
            Vec::new()
        });
        let pipeline = Arc::clone(&self.pipeline);
        let (sender, made) = sync_channel(1);
        self.workers.spawn(move || {
            let fill = || {
                pixels.resize(visits.len().saturating_mul(pipeline.image_len()), T::default());
                let faults = pipeline.fill(&visits, &mut pixels);
                Batch { pixels, visits, faults }
            };
            // A loader that was dropped listens no more.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(fill)));
        });
        self.ahead.push_back(Ahead { made, bytes });
        self.bytes_ahead = self.bytes_ahead.saturating_add(bytes);
    }
}

impl<T: Sample> Drop for Loader<T> {
    fn drop(&mut self) {
        self.pipeline.stopped.store(true, Ordering::Relaxed);
        for ahead in self.ahead.drain(..) {
            let _ = self.workers.wait(&ahead.made);
        }
    }
}

impl<T: Sample> fmt::Debug for Loader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("pipeline", &self.pipeline).field("options", &self.options).finish()
    }
}
