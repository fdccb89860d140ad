//! Walks through folders whose names are classes. Links are followed, because large data sets are often linked into
//! place, and every real folder is visited once, so that a loop of links ends the walk of that branch and not the
//! program.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::ListingError;
use super::relative_path::{bytes_of, shown};
use crate::folders::{is_hidden, is_image};

/// Deepest folder below a class that is looked into.
const MAX_DEPTH: usize = 32;

/// A walk below one folder; collects what it leaves out.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    root: &'a Path,
    pub left_out: Vec<String>,
}

impl<'a> Tree<'a> {
    /// A walk whose paths are relative to `root`.
    pub fn new(root: &'a Path) -> Self {
        Self { root, left_out: Vec::new() }
    }

    fn relative(&self, path: &Path) -> Option<Vec<u8>> {
        bytes_of(path.strip_prefix(self.root).unwrap_or(path))
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        let name = self.relative(path).map_or_else(|| path.display().to_string(), |bytes| shown(&bytes));
        self.left_out.push(format!("{name}: {why}"));
    }

    /// Folders and image files of one folder, both sorted by name. Broken links are left out.
    fn entries(&mut self, folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), ListingError> {
        let (mut folders, mut images) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(folder).map_err(ListingError::unreadable(folder))? {
            let entry = entry.map_err(ListingError::unreadable(folder))?;
            let path = entry.path();
            if is_hidden(&path) {
                continue;
            }
            // Only links need another call to the system.
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => std::fs::metadata(&path).map(|found| found.file_type()),
                kind => kind,
            };
            match kind {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() && is_image(&path) => images.push(path),
                Ok(_) => {}
                Err(error) => self.leave_out(&path, &format!("cannot be followed ({error})")),
            }
        }
        folders.sort();
        images.sort();
        Ok((folders, images))
    }

    /// The folders directly in `folder`, sorted by the bytes of their names.
    ///
    /// # Errors
    /// [`ListingError::Unreadable`]; [`ListingError::Malformed`] for a name that is not UTF-8.
    pub fn folders(&mut self, folder: &Path) -> Result<Vec<(String, PathBuf)>, ListingError> {
        let named = |path: PathBuf| match path.file_name().and_then(|name| name.to_str()) {
            Some(name) => Ok((name.to_owned(), path)),
            None => Err(ListingError::Malformed {
                entry: path.display().to_string(),
                reason: "the name of a class folder must be UTF-8".to_owned(),
            }),
        };
        self.entries(folder)?.0.into_iter().map(named).collect()
    }

    /// The paths of the images directly in `folder`, relative to the root and sorted.
    pub fn images(&mut self, folder: &Path) -> Result<Vec<Vec<u8>>, ListingError> {
        let images = self.entries(folder)?.1;
        Ok(self.all_relative(&images))
    }

    /// The paths of all images below `folder`, relative to the root, each folder's own before those of its folders.
    pub fn images_below(&mut self, folder: &Path) -> Result<Vec<Vec<u8>>, ListingError> {
        let (mut found, mut visited) = (Vec::new(), HashSet::new());
        self.visit(folder, MAX_DEPTH, &mut visited, &mut found)?;
        Ok(found)
    }

    fn visit(
        &mut self,
        folder: &Path,
        depth: usize,
        visited: &mut HashSet<PathBuf>,
        found: &mut Vec<Vec<u8>>,
    ) -> Result<(), ListingError> {
        let real = folder.canonicalize().map_err(ListingError::unreadable(folder))?;
        if depth == 0 || !visited.insert(real) {
            self.leave_out(folder, "a folder that was read before, or too deep");
            return Ok(());
        }
        let (folders, images) = self.entries(folder)?;
        found.extend(self.all_relative(&images));
        folders.iter().try_for_each(|folder| self.visit(folder, depth - 1, visited, found))
    }

    fn all_relative(&mut self, paths: &[PathBuf]) -> Vec<Vec<u8>> {
        let mut all = Vec::with_capacity(paths.len());
        for path in paths {
            match self.relative(path) {
                Some(bytes) => all.push(bytes),
                None => self.leave_out(path, "its name is not UTF-8"),
            }
        }
        all
    }
}
