//! One folder's entries, sorted into what can be used and what cannot.
//!
//! The walk has a fixed depth and does not follow links to folders, so it always ends; links to
//! files are followed. Only regular files count as images: reading a pipe or a device could block.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::error::FolderError;

/// File name extensions of images. Those that cannot be decoded are listed too: such a file is
/// then named among the skipped ones, and not taken for a note or a spreadsheet.
const IMAGE_EXTENSIONS: [&str; 19] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "gif", "webp", "bmp", "tif", "tiff", "avif", "heic", "heif", "jp2",
    "jxl", "pbm", "pgm", "ppm", "tga",
];

/// A file that should hold an image.
#[derive(Debug, Clone)]
pub(super) struct ImageFile {
    pub path: PathBuf,
    /// Length in bytes; 0 where it cannot be determined (a broken link), which decoding will report.
    pub bytes: u64,
}

/// The entries of one folder, each list sorted by name.
#[derive(Debug)]
pub(super) struct Entries {
    pub path: PathBuf,
    pub folders: Vec<PathBuf>,
    pub images: Vec<ImageFile>,
    /// Links to folders, which are not followed.
    pub linked_folders: Vec<PathBuf>,
    /// Number of hidden entries and of files that are not images.
    pub ignored: usize,
}

impl Entries {
    /// Lists `path`.
    pub fn read(path: &Path) -> Result<Self, FolderError> {
        let unreadable = |source| FolderError::Unreadable { path: path.to_owned(), source };
        let mut entries = Self {
            path: path.to_owned(),
            folders: Vec::new(),
            images: Vec::new(),
            linked_folders: Vec::new(),
            ignored: 0,
        };
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            entries.sort_in(&entry.path(), entry.file_type().map_err(unreadable)?);
        }
        entries.folders.sort();
        entries.linked_folders.sort();
        entries.images.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn sort_in(&mut self, path: &Path, kind: std::fs::FileType) {
        // Follows links; fails on broken and circular ones.
        let target = std::fs::metadata(path);
        if is_hidden(path) {
            self.ignored += 1;
        } else if kind.is_dir() {
            self.folders.push(path.to_owned());
        } else if target.as_ref().is_ok_and(|target| target.is_dir()) {
            self.linked_folders.push(path.to_owned());
        } else if is_image(path) && target.as_ref().map_or(kind.is_symlink(), |target| target.is_file()) {
            let bytes = target.map_or(0, |target| target.len());
            self.images.push(ImageFile { path: path.to_owned(), bytes });
        } else {
            self.ignored += 1;
        }
    }

    /// The folder called `name` directly in this one.
    pub fn folder(&self, name: &str) -> Option<&Path> {
        self.folders.iter().map(PathBuf::as_path).find(|path| path.file_name() == Some(OsStr::new(name)))
    }

    /// Everything in this folder that is of no use where `expected` was.
    pub fn empty(&self, expected: &'static str) -> FolderError {
        let others = self.folders.len() + self.images.len() + self.linked_folders.len() + self.ignored;
        FolderError::Empty { path: self.path.clone(), expected, ignored: others }
    }
}

/// Hidden by the convention of Unix, or left behind by an archive made on macOS.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX")
}

pub(crate) fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|extension| IMAGE_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}
