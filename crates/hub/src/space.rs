//! Whether a disk has room, asked before a download instead of found out at its end.

use std::path::Path;

use crate::error::FetchError;

/// Fails if the disk of `folder`, which exists, has certainly less than `needed` bytes free.
pub(crate) fn check(folder: &Path, needed: u64) -> Result<(), FetchError> {
    match free(folder) {
        Some(free) if free < needed => {
            Err(FetchError::NoSpace { path: folder.to_owned(), needed, free: Some(free) })
        }
        _ => Ok(()),
    }
}

/// Bytes that are free for this user; `None` where that cannot be found out.
#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(folder.path(), 0).is_ok());
        let error = check(folder.path(), u64::MAX).unwrap_err();
        assert!(matches!(error, FetchError::NoSpace { free: Some(_), .. }), "{error}");
        assert!(check(&folder.path().join("absent"), u64::MAX).is_ok(), "what cannot be asked is no reason");
    }
}
