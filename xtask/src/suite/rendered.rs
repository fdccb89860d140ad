//! The folder in which the runs of a suite share rendered images, as long as one call of `reproduce` lasts.
//!
//! No later call reads it: every call makes a folder of its own, so images never meet a program that would render others.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use regulus_trainer::files;

/// A folder for rendered images, gone when this is dropped.
pub struct RenderedImages {
    /// What this call has made, a folder in `all`.
    own: PathBuf,
    /// Where folders of all calls are: this one, and of calls that were killed.
    all: PathBuf,
    lock: PathBuf,
    _held: File,
}

impl RenderedImages {
    /// A new folder below the suite's `root`, and nothing there of calls that were killed. `None` while another process
    /// runs the same suite there, and where no folder can be made: every run then renders for itself.
    pub fn shared_in(root: &Path) -> Option<Self> {
        let lock = root.join("rendered.lock");
        let held = files::lock(&lock, Duration::ZERO, &|| false).ok()??;
        let all = root.join("rendered");
        // What stays is in nobody's way: the new folder has another name.
        let _ = fs::remove_dir_all(&all);
        let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        // A run whose suite was killed may still be about to write to the folder of that suite.
        let own = all.join(format!("{}-{now}", std::process::id()));
        let images = Self { own, all, lock, _held: held };
        fs::create_dir_all(&images.own).ok()?;
        Some(images)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.own
    }
}

impl Drop for RenderedImages {
    fn drop(&mut self) {
        // The next call removes what cannot be removed now.
        let _ = fs::remove_dir_all(&self.all);
        let _ = fs::remove_file(&self.lock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn one_call_at_a_time_has_a_folder_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let left = root.path().join("rendered/killed");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("images"), "old").unwrap();

        let images = RenderedImages::shared_in(root.path()).unwrap();
        assert!(!left.exists() && images.folder().is_dir() && entries(images.folder()) == 0);
        fs::write(images.folder().join("images"), "new").unwrap();
        assert!(RenderedImages::shared_in(root.path()).is_none());
        assert!(
            images.folder().join("images").is_file(),
            "a second call leaves the first one's images alone"
        );

        let first = images.folder().to_owned();
        drop(images);
        assert_eq!(entries(root.path()), 0);
        assert_ne!(RenderedImages::shared_in(root.path()).unwrap().folder(), first);
        assert_eq!(entries(root.path()), 0);
    }

    #[test]
    fn no_folder_is_no_error() {
        let root = tempfile::tempdir().unwrap();
        assert!(RenderedImages::shared_in(&root.path().join("missing")).is_none());
        fs::write(root.path().join("rendered"), "a file").unwrap();
        assert!(RenderedImages::shared_in(root.path()).is_none());
    }
}
