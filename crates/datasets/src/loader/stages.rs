//! Where the time of a loader goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Time that the workers spent on each stage.
#[derive(Debug, Default)]
pub(super) struct Stages {
    pub read: Clock,
    pub decode: Clock,
    pub view: Clock,
    pub cache: Clock,
    pub write: Clock,
}

/// A sum of times.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    /// Runs `work` and adds the time that it took.
    pub fn time<R>(&self, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        self.0.fetch_add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        result
    }

    fn seconds(&self) -> f64 {
        Duration::from_nanos(self.0.load(Ordering::Relaxed)).as_secs_f64()
    }
}

/// Seconds that the workers of a loader spent on each stage, all workers added up.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct StageSeconds {
    /// Reading files.
    pub read: f64,
    /// Waiting for memory, and decoding.
    pub decode: f64,
    /// Resizing, cropping and augmenting.
    pub view: f64,
    /// Looking up squares in the cache and checking their sums.
    pub cache: f64,
    /// Writing batches: copying or normalising.
    pub write: f64,
}

impl Stages {
    pub fn seconds(&self) -> StageSeconds {
        StageSeconds {
            read: self.read.seconds(),
            decode: self.decode.seconds(),
            view: self.view.seconds(),
            cache: self.cache.seconds(),
            write: self.write.seconds(),
        }
    }
}

impl std::ops::Sub for StageSeconds {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            read: self.read - before.read,
            decode: self.decode - before.decode,
            view: self.view - before.view,
            cache: self.cache - before.cache,
            write: self.write - before.write,
        }
    }
}
