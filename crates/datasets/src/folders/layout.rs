//! Which of the three layouts a folder has, found from its content.
//!
//! Detection never guesses: a folder that two layouts would read differently is refused, and the
//! message says what was seen. A caller who knows better names the layout.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::entries::Entries;
use super::error::FolderError;

/// How images, classes and splits are laid out in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `train/<class>/*` and, optionally, `test/<class>/*`.
    ClassFolders,
    /// `train/<class>_<number>.<ext>` and, optionally, `test/<class>_<number>.<ext>` (as in BAR).
    FlatFiles,
    /// `<domain>/<class>/*`; the caller says which domains train and which test (as in PACS).
    Domains,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClassFolders => "class-folders",
            Self::FlatFiles => "flat-files",
            Self::Domains => "domains",
        })
    }
}

impl Layout {
    /// Finds the layout of `root`.
    pub(super) fn detect(root: &Entries) -> Result<Self, FolderError> {
        if root.folders.is_empty() && root.images.is_empty() && root.linked_folders.is_empty() {
            return Err(root.empty("folders of images"));
        }
        match root.folder("train") {
            Some(train) => Self::detect_with_train(root, train),
            None if root.folder("test").is_some() => Err(unknown(root)?),
            None => Self::detect_domains(root),
        }
    }

    fn detect_with_train(root: &Entries, train: &Path) -> Result<Self, FolderError> {
        let layout = Self::below_split(root, train)?;
        if let Some(test) = root.folder("test")
            && Self::below_split(root, test)? != layout
        {
            return Err(ambiguous(root, "`train` and `test` are laid out differently")?);
        }
        Ok(layout)
    }

    fn below_split(root: &Entries, split: &Path) -> Result<Self, FolderError> {
        let entries = Entries::read(split)?;
        match (entries.folders.is_empty(), entries.images.is_empty()) {
            (false, true) => Ok(Self::ClassFolders),
            (true, false) => Ok(Self::FlatFiles),
            (true, true) => Err(entries.empty("class folders or images")),
            (false, false) => Err(ambiguous(root, "images lie beside class folders")?),
        }
    }

    fn detect_domains(root: &Entries) -> Result<Self, FolderError> {
        let (mut with_images, mut with_classes) = (false, false);
        for folder in &root.folders {
            let entries = Entries::read(folder)?;
            with_images |= !entries.images.is_empty();
            with_classes |= !with_classes && any_holds_images(&entries)?;
        }
        match (with_images, with_classes) {
            (false, true) => Ok(Self::Domains),
            (true, true) => Err(ambiguous(root, "some folders hold images and some hold class folders")?),
            (_, false) => Err(unknown(root)?),
        }
    }
}

fn any_holds_images(parent: &Entries) -> Result<bool, FolderError> {
    for folder in &parent.folders {
        if !Entries::read(folder)?.images.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The error for a folder that fits no layout.
pub(super) fn unknown(root: &Entries) -> Result<FolderError, FolderError> {
    Ok(FolderError::UnknownLayout { root: root.path.clone(), found: describe(root)? })
}

fn ambiguous(root: &Entries, reason: &str) -> Result<FolderError, FolderError> {
    Ok(FolderError::Ambiguous {
        root: root.path.clone(),
        found: format!("{reason}; found {}", describe(root)?),
    })
}

/// What `root` holds, in one line: `train/ (folders: 3, images: 0), image files: 2`.
fn describe(root: &Entries) -> Result<String, FolderError> {
    const SHOWN: usize = 6;
    let mut parts = Vec::new();
    for folder in root.folders.iter().take(SHOWN) {
        let entries = Entries::read(folder)?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        parts.push(format!("{name}/ (folders: {}, images: {})", entries.folders.len(), entries.images.len()));
    }
    let more = root.folders.len().saturating_sub(SHOWN);
    let counts = [
        (more, "more folders"),
        (root.images.len(), "image files"),
        (root.linked_folders.len(), "links to folders, which are not followed"),
        (root.ignored, "other files"),
    ];
    parts.extend(
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{what}: {count}")),
    );
    Ok(parts.join(", "))
}
