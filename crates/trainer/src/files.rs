//! Writing files so that a crash leaves the old content or the new one, never a part.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The end of the names of files that are not whole.
const PART: &str = ".part";

/// Writes `bytes` to a temporary file beside `path`, syncs it and renames it.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    replace_by(path, |file| file.write_all(bytes))
}

/// As [`replace`], of a file that `write` fills.
///
/// # Errors
/// What `write` says, or the system.
pub fn replace_by<E: From<std::io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(format!(".{}{PART}", std::process::id()));
    let temporary = Temporary(path.with_file_name(name));
    let mut file = File::create(&temporary.0)?;
    write(&mut file)?;
    file.sync_all()?;
    drop(file);
    Ok(fs::rename(&temporary.0, path)?)
}

/// A file that is not whole. It is removed if it is still there in the end.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After renaming there is none; otherwise the error that matters was the first one.
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes what processes that were killed have left of the file at `path`. None may be writing it.
pub fn remove_parts(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
        return;
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_part = |found: &str| found.starts_with(name) && found.ends_with(PART);
        if entry.file_name().to_str().is_some_and(is_part) {
            // It is only untidy.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Keeps other processes away from what the file at `path` stands for, as long as the returned file is open. The
/// operating system lets go of it when the process ends, however it ends. `None` if another process still holds it
/// after `patience`, or when `stop` asks not to wait any longer.
pub fn lock(path: &Path, patience: Duration, stop: &dyn Fn() -> bool) -> std::io::Result<Option<File>> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if began.elapsed() < patience && !stop() => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            // File systems without locks: better an unguarded run than none.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                return Ok(Some(file));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_files_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, b"old").unwrap();
        let full = || std::io::Error::other("the disk is full");
        let half = |file: &mut File| file.write_all(b"half");
        let failed = replace_by(&path, |file| half(file).and(Err(full())));
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        let panics = || replace_by(&path, |file| half(file).map(|()| panic!("the device is lost")));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_process_leaves_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.json", "a.json.17.part", "a.json.1.part", "b.json.17.part", "a.part"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_parts(&folder.path().join("a.json"));
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.json", "a.part", "b.json.17.part"]);
    }

    #[test]
    fn only_one_holds_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path, Duration::ZERO, &|| false).unwrap().unwrap();
        assert!(lock(&path, Duration::ZERO, &|| false).unwrap().is_none());
        let ending = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(120));
            drop(held);
        });
        assert!(lock(&path, Duration::from_secs(60), &|| false).unwrap().is_some());
        ending.join().unwrap();
    }

    #[test]
    fn waiting_ends_when_it_is_asked_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let _held = lock(&path, Duration::ZERO, &|| false).unwrap().unwrap();
        let asked = std::cell::Cell::new(0);
        let third_time = || {
            asked.set(asked.get() + 1);
            asked.get() == 3
        };
        assert!(lock(&path, Duration::MAX, &third_time).unwrap().is_none());
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replace(&folder.path().join("no/a.json"), b"x").is_err());
    }
}
