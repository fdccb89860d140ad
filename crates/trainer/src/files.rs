//! Writing files so that a crash leaves the old content or the new one, never a part.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes `bytes` to a temporary file beside `path`, syncs it and renames it.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    replace_by(path, |temporary| fs::write(temporary, bytes))
}

/// As [`replace`], of a file that `write` fills or puts in the place of the temporary one.
///
/// # Errors
/// What `write` says, or the system.
pub fn replace_by<E: From<std::io::Error>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(format!(".{}.part", std::process::id()));
    let temporary = path.with_file_name(name);
    let renamed =
        File::create(&temporary).and_then(|file| file.metadata()).map_err(E::from).and_then(|new| {
            write(&temporary)?;
            // What was put there may be for this user's eyes only, as temporary files of libraries are.
            fs::set_permissions(&temporary, new.permissions())?;
            File::options().write(true).open(&temporary)?.sync_all()?;
            Ok(fs::rename(&temporary, path)?)
        });
    if renamed.is_err() {
        // The error that matters is the first one; a leftover part file is only untidy.
        let _ = fs::remove_file(&temporary);
    }
    renamed
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

    #[cfg(unix)]
    #[test]
    fn a_private_file_in_its_place_is_as_open_as_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, ordinary) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&ordinary, "").unwrap();
        replace_by(&path, |temporary| {
            let private = tempfile::NamedTempFile::new_in(folder.path())?;
            fs::write(&private, "new")?;
            private.persist(temporary).map(|_| ()).map_err(|error| error.error)
        })
        .unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (&b"new"[..], mode(&ordinary)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, b"old").unwrap();
        let failed = replace_by(&path, |temporary| {
            fs::write(temporary, "half")?;
            Err(std::io::Error::other("the disk is full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
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
