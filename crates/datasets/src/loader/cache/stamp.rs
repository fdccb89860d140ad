//! Whether an image file is still the one that was decoded.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Size and modification time of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: u64,
}

/// A file may change twice within one tick of its file system's clock, and look the same. FAT ticks every two seconds.
const COARSEST_TICK: Duration = Duration::from_secs(2);

impl Stamp {
    /// The stamp of the file at `path`, if it has one and could not change again without another one: a file that was
    /// modified a moment ago has none yet.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let modified = metadata.modified().ok()?;
        let age = SystemTime::now().duration_since(modified);
        // A time in the future has settled: a change from now on gives an earlier one.
        if age.is_ok_and(|age| age < COARSEST_TICK) {
            return None;
        }
        let modified = u64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()?;
        Some(Self { size: metadata.len(), modified })
    }
}
