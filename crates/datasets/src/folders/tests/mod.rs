//! Folders in miniature, made for each test.

mod errors;
mod layouts;
mod loading;

use std::path::{Path, PathBuf};

use regulus_images::{Preprocess, RgbImage, encode_png};
use tempfile::TempDir;

use super::{FolderError, FolderListing, FolderReport, FolderRequest, LoadedFolder, load, scan};
use crate::Task;
use crate::loader::SquareStore;

/// A folder that is deleted when the test ends.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// `count` images in each of `train/<class>` and `test/<class>`.
    fn with_classes(classes: &[&str], count: usize) -> Self {
        let folder = Self::new();
        for (split, class) in
            ["train", "test"].iter().flat_map(|split| classes.iter().map(move |c| (split, c)))
        {
            (0..count).for_each(|i| folder.image(format!("{split}/{class}/{i}.png")));
        }
        folder
    }

    /// `count` images in each `<domain>/<class>`.
    fn with_domains(domains: &[&str], classes: &[&str], count: usize) -> Self {
        let folder = Self::new();
        for (domain, class) in domains.iter().flat_map(|domain| classes.iter().map(move |c| (domain, c))) {
            (0..count).for_each(|i| folder.image(format!("{domain}/{class}/{i}.png")));
        }
        folder
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        let path = self.root().join(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn folder(&self, relative: &str) {
        std::fs::create_dir_all(self.path(relative)).unwrap();
    }

    fn write(&self, relative: impl AsRef<Path>, bytes: &[u8]) {
        std::fs::write(self.path(relative), bytes).unwrap();
    }

    /// A small PNG whose pixels depend on its path.
    fn image(&self, relative: impl AsRef<Path>) {
        let png = png(relative.as_ref());
        self.write(relative, &png);
    }

    fn request(&self) -> FolderRequest {
        FolderRequest::new(self.root())
    }

    fn domains(&self, train: &[&str], test: &[&str]) -> FolderRequest {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        FolderRequest { train_domains: owned(train), test_domains: owned(test), ..self.request() }
    }

    fn scan(&self) -> FolderListing {
        scan(&self.request()).unwrap()
    }

    fn refused(&self) -> FolderError {
        scan(&self.request()).unwrap_err()
    }

    fn load(&self) -> (Task, FolderReport) {
        let LoadedFolder { task, report, .. } = load_all(&self.scan()).unwrap();
        (task, report)
    }
}

fn png(path: &Path) -> Vec<u8> {
    let name = path.as_os_str().as_encoded_bytes();
    let pixels = (0..9 * 7 * 3).map(|i| name[i % name.len()].wrapping_mul(i as u8)).collect();
    encode_png(&RgbImage::new(9, 7, pixels).unwrap()).unwrap()
}

fn load_all(listing: &FolderListing) -> Result<LoadedFolder, FolderError> {
    load(listing, &Preprocess::clip(8), &SquareStore::in_memory(1 << 20), &|_, _| {})
}

/// Relative paths of the files of a split.
fn names(split: &super::ListedSplit) -> Vec<String> {
    split.files.iter().map(super::ListedFile::shown).collect()
}
