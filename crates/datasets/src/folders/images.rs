//! All images below a folder, whatever its layout: what is to be looked at has no classes yet.

use std::path::{Path, PathBuf};

use super::entries::Entries;
use super::error::FolderError;

/// The image files below `folder`, at any depth, sorted by path. Hidden files and files whose extension is not that of
/// an image are left out. Links to files are followed, links to folders are not, so that the walk ends.
///
/// # Errors
/// [`FolderError::Unreadable`] for the first folder that cannot be listed.
pub fn images_below(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let mut images = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = Entries::read(&folder)?;
        images.extend(entries.images.into_iter().map(|image| image.path));
        folders.extend(entries.folders);
    }
    images.sort();
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_all_depths_in_order() {
        let home = tempfile::tempdir().unwrap();
        for file in ["b.png", "a/z.JPG", "a/deep/er/1.png", "notes.txt", "a/.hidden.png", "c/read.me"] {
            let path = home.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let found = images_below(home.path()).unwrap();
        let found: Vec<_> = found.iter().map(|path| path.strip_prefix(home.path()).unwrap()).collect();
        assert_eq!(found, ["a/deep/er/1.png", "a/z.JPG", "b.png"].map(Path::new));
        assert!(images_below(&home.path().join("none")).is_err());
    }
}
