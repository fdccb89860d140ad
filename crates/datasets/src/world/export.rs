//! Splits of the world as ordinary folders of PNG files, so that any other program can train on
//! exactly the images that Regulus trains on.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use regulus_images::{EncodeError, RgbImage, encode_png};
use thiserror::Error;

use crate::LabelledImages;

/// Why a split could not be written as a folder.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The folder has files already; they might be mixed up with the new ones.
    #[error("{} is not empty: name a new or an empty folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A class name cannot be the name of a folder.
    #[error("the class name {name:?} cannot be a folder of {}: it must not be empty, `.`, `..` or contain a slash", path.display())]
    ClassName {
        /// The name.
        name: String,
        /// The folder to write.
        path: PathBuf,
    },
    /// Two classes have the same name, up to upper and lower case.
    #[error("two classes are called {name:?}: their images would share one folder in {}", path.display())]
    DuplicateClass {
        /// The name.
        name: String,
        /// The folder to write.
        path: PathBuf,
    },
    /// A label has no class name.
    #[error("image {index} for {} has label {label}, but there are {classes} class names", path.display())]
    Label {
        /// Index of the image.
        index: usize,
        /// Its label.
        label: usize,
        /// Number of class names.
        classes: usize,
        /// The folder to write.
        path: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An image could not be encoded.
    #[error("cannot encode {}: {source}", path.display())]
    Encode {
        /// The file to write.
        path: PathBuf,
        /// The cause.
        source: EncodeError,
    },
}

/// Writes every image as `<dir>/<class>/<index>.png`; the index is that in the split, with leading
/// zeros, so that sorted files are in the order of the split. Returns the number of files.
///
/// # Errors
/// Everything in [`ExportError`]. Names and labels are checked before anything is written.
pub fn image_folder(
    images: &LabelledImages,
    class_names: &[String],
    dir: &Path,
) -> Result<usize, ExportError> {
    check(images, class_names, dir)?;
    for name in class_names {
        create_dir(&dir.join(name))?;
    }
    let digits = images.len().saturating_sub(1).to_string().len();
    for (index, &label) in images.labels.iter().enumerate() {
        let path = dir.join(&class_names[label]).join(format!("{index:0digits$}.png"));
        let image =
            RgbImage { width: images.side, height: images.side, pixels: images.image(index).to_vec() };
        let png = encode_png(&image).map_err(|source| ExportError::Encode { path: path.clone(), source })?;
        fs::write(&path, png).map_err(|source| ExportError::Io { path, source })?;
    }
    Ok(images.len())
}

fn check(images: &LabelledImages, class_names: &[String], dir: &Path) -> Result<(), ExportError> {
    let path = || dir.to_path_buf();
    let mut seen = BTreeSet::new();
    for name in class_names {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
            return Err(ExportError::ClassName { name: name.clone(), path: path() });
        }
        if !seen.insert(name.to_lowercase()) {
            return Err(ExportError::DuplicateClass { name: name.clone(), path: path() });
        }
    }
    let classes = class_names.len();
    if let Some((index, &label)) = images.labels.iter().enumerate().find(|(_, label)| **label >= classes) {
        return Err(ExportError::Label { index, label, classes, path: path() });
    }
    create_dir(dir)?;
    let mut entries = fs::read_dir(dir).map_err(|source| ExportError::Io { path: path(), source })?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(ExportError::NotEmpty { path: path() }),
    }
}

fn create_dir(path: &Path) -> Result<(), ExportError> {
    fs::create_dir_all(path).map_err(|source| ExportError::Io { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Style, zero_shot_set};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_string()).collect()
    }

    #[test]
    fn files_decode_to_the_images_of_their_class() {
        let dir = tempfile::tempdir().unwrap();
        let images = zero_shot_set(Style::Cartoon, 1).images;
        let class_names = names(&crate::world::CLASSES);
        assert_eq!(image_folder(&images, &class_names, dir.path()).unwrap(), 20);
        let decoded = regulus_images::decode_file(&dir.path().join("star").join("03.png")).unwrap().image;
        assert_eq!(decoded.pixels, images.image(3));
        assert_eq!((decoded.width, decoded.height), (32, 32));
        let error = image_folder(&images, &class_names, dir.path()).unwrap_err();
        assert!(matches!(error, ExportError::NotEmpty { .. }) && error.to_string().contains("not empty"));
    }

    #[test]
    fn bad_names_and_labels_are_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("split");
        let images = LabelledImages { side: 1, pixels: vec![0; 6].into(), labels: vec![0, 2] };
        let refuse = |class_names: &[&str]| image_folder(&images, &names(class_names), &target).unwrap_err();
        assert!(matches!(refuse(&["a", "b"]), ExportError::Label { index: 1, label: 2, classes: 2, .. }));
        assert!(matches!(refuse(&["a", "../b", "c"]), ExportError::ClassName { .. }));
        assert!(matches!(refuse(&["a", "b", "A"]), ExportError::DuplicateClass { .. }));
        assert!(!target.exists());
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        fs::write(&target, "x").unwrap();
        let error = image_folder(&LabelledImages::default(), &[], &target).unwrap_err();
        assert!(matches!(&error, ExportError::Io { path, .. } if *path == target));
    }
}
