//! Where caches lie if nobody says otherwise, and the room that all of them together may take.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A folder of cache files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheFolder {
    /// The folder; it need not exist.
    pub path: PathBuf,
    /// Bytes that its cache files may take together.
    pub budget: u64,
}

const EXTENSION: &str = "squares";

impl CacheFolder {
    /// Removes the cache files that were used longest ago until `needed` bytes fit beside the others. The file at
    /// `kept` stays, and is not counted. Who has mapped a file keeps what it holds.
    pub(crate) fn make_room(&self, kept: &Path, needed: u64) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        let files = entries.filter_map(|entry| {
            let path = entry.ok()?.path();
            let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
            let is_cache = path.extension().is_some_and(|extension| extension == EXTENSION) && path != kept;
            is_cache.then(|| (metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), path))
        });
        let mut files: Vec<(SystemTime, u64, PathBuf)> = files.collect();
        files.sort();
        let mut taken = files.iter().fold(needed, |sum, (_, length, _)| sum.saturating_add(*length));
        for (_, length, path) in files {
            if taken <= self.budget {
                return;
            }
            if fs::remove_file(path).is_ok() {
                taken = taken.saturating_sub(length);
            }
        }
    }

    /// Notes that a cache file was used now.
    pub(crate) fn used(path: &Path) {
        // Where it cannot be noted, the file may be removed earlier than others.
        let _ = File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
    }
}

/// The folder for cache files: `REGULUS_CACHE`, or `regulus` in the cache folder of the user. `None` where the
/// environment names neither.
pub fn default_folder() -> Option<PathBuf> {
    choose(|name| env::var_os(name).filter(|value| !value.is_empty()))
}

fn choose(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from);
    let of_user = || {
        let windows = || folder("LOCALAPPDATA").filter(|_| cfg!(windows));
        let home = || folder("HOME").map(|home| home.join(".cache"));
        folder("XDG_CACHE_HOME").or_else(windows).or_else(home).map(|caches| caches.join("regulus"))
    };
    folder("REGULUS_CACHE").or_else(of_user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_used_longest_ago_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, seconds: u64| {
            fs::write(path(name), [0; 10]).unwrap();
            let modified = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            File::options().append(true).open(path(name)).unwrap().set_modified(modified).unwrap();
        };
        for (name, seconds) in [("b.squares", 2), ("a.squares", 3), ("kept.squares", 1), ("other", 0)] {
            write(name, seconds);
        }
        let caches = CacheFolder { path: folder.path().to_owned(), budget: 30 };
        let there = || {
            let mut names: Vec<_> =
                fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names.join("/".as_ref()).into_string().unwrap()
        };
        caches.make_room(&path("kept.squares"), 10);
        assert_eq!(there(), "a.squares/b.squares/kept.squares/other");
        caches.make_room(&path("kept.squares"), 11);
        assert_eq!(there(), "a.squares/kept.squares/other");
        write("c.squares", 1);
        CacheFolder::used(&path("c.squares"));
        caches.make_room(&path("kept.squares"), 20);
        assert_eq!(there(), "c.squares/kept.squares/other");
        caches.make_room(&path("kept.squares"), u64::MAX);
        assert_eq!(there(), "kept.squares/other");
    }

    #[test]
    fn the_most_specific_variable_wins() {
        let chosen = |set: &[(&str, &str)]| {
            choose(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            })
        };
        let [own, xdg, home] = [("REGULUS_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(chosen(&[home, xdg, own]), Some("/a".into()));
        assert_eq!(chosen(&[home, xdg]), Some("/b/regulus".into()));
        assert_eq!(chosen(&[home]), Some("/c/.cache/regulus".into()));
        assert_eq!(chosen(&[]), None);
    }
}
