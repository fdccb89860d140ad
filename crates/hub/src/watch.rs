//! What the caller of a fetch sees of it and says to it.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::FetchError;

/// Something that happened during a fetch.
#[derive(Debug)]
pub enum Event<'a> {
    /// `done` bytes of a file are here, of `total` where that is known.
    Progress {
        /// Name of the file.
        file: &'a str,
        /// Bytes that are here.
        done: u64,
        /// Bytes that it will have.
        total: Option<u64>,
    },
    /// A file is complete and verified.
    Finished {
        /// Name of the file.
        file: &'a str,
        /// Its size in bytes.
        bytes: u64,
    },
    /// Something that a person should read.
    Notice(&'a str),
}

/// The caller's two ends of a fetch.
pub struct Watch<'a> {
    /// Asked between reads and while waiting; `true` ends the fetch, and what is downloaded is kept.
    pub stop: &'a dyn Fn() -> bool,
    /// Is told what happens.
    pub tell: &'a mut dyn FnMut(Event<'_>),
}

/// Longest time between two questions whether to stop, while waiting.
const PATIENCE: Duration = Duration::from_millis(50);

impl Watch<'_> {
    pub(crate) fn notice(&mut self, text: &str) {
        (self.tell)(Event::Notice(text));
    }

    /// An error if the fetch is to stop; `partial` is what is kept.
    pub(crate) fn check(&self, partial: Option<&Path>) -> Result<(), FetchError> {
        if !(self.stop)() {
            return Ok(());
        }
        let kept = partial.and_then(|path| std::fs::metadata(path).ok()).map_or(0, |kept| kept.len());
        Err(FetchError::Stopped { kept })
    }

    /// Waits, unless the fetch is to stop.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), FetchError> {
        let until = Instant::now() + time;
        loop {
            self.check(None)?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(PATIENCE));
        }
    }
}
