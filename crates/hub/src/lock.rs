//! One download of a file at a time, over all processes. Python's client takes the same locks on the same files.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::error::{AtPath, FetchError};
use crate::watch::Watch;

/// Between two looks at a lock that somebody else has.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the lock at `path` until the value is dropped; waits for whoever has it. Disks that know no locks have none.
pub(crate) fn take(path: &Path, what: &str, watch: &mut Watch<'_>) -> Result<File, FetchError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).at(folder)?;
    }
    let file = File::options().create(true).write(true).truncate(false).open(path).at(path)?;
    let mut told = false;
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if !told {
            watch.notice(&format!("another process is downloading {what}; waiting for it"));
            told = true;
        }
        watch.pause(PAUSE)?;
    }
    Ok(file)
}
