//! Class names: what a folder or file is called, and how the name reads in a prompt.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::error::FolderError;

/// A class as the folder names it and as prompts name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassName {
    /// The name of the class folder, or the part of a flat file's name before `_<number>`.
    pub raw: String,
    /// The raw name with spaces in place of underscores, for prompts. Case is kept.
    pub prompt: String,
}

impl ClassName {
    pub(super) fn new(raw: &str) -> Self {
        let words: Vec<&str> =
            raw.split(|c: char| c == '_' || c.is_whitespace()).filter(|w| !w.is_empty()).collect();
        Self { raw: raw.to_owned(), prompt: words.join(" ") }
    }
}

/// The class that a folder stands for: its name.
pub(super) fn of_folder(path: &Path) -> Result<String, FolderError> {
    let expected = "expected a folder name in UTF-8 with a letter or digit in it";
    named(path.file_name().and_then(|name| name.to_str()), path, expected)
}

/// The class of a flat file `<class>_<number>.<ext>`.
pub(crate) fn of_flat_file(path: &Path) -> Result<String, FolderError> {
    let expected = "expected a file name <class>_<number>.<ext> in UTF-8";
    let class = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .and_then(|stem| stem.rsplit_once('_'))
        .filter(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|(class, _)| class);
    named(class, path, expected)
}

fn named(class: Option<&str>, path: &Path, expected: &'static str) -> Result<String, FolderError> {
    class
        .filter(|class| class.chars().any(char::is_alphanumeric))
        .map(str::to_owned)
        .ok_or_else(|| FolderError::ClassName { path: path.to_owned(), expected })
}

/// Fails if two different raw names become one when case, underscores and spaces are disregarded.
pub(super) fn check_distinct<'a>(raw_names: impl Iterator<Item = &'a str>) -> Result<(), FolderError> {
    let mut folded: BTreeMap<String, &str> = BTreeMap::new();
    for raw in raw_names {
        let other = *folded.entry(ClassName::new(raw).prompt.to_lowercase()).or_insert(raw);
        if other != raw {
            let (first, second) = (other.min(raw).to_owned(), other.max(raw).to_owned());
            return Err(FolderError::DuplicateClass { first, second });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underscores_become_spaces_and_case_is_kept() {
        assert_eq!(ClassName::new("Polar__bear_").prompt, "Polar bear");
        assert_eq!(ClassName::new("pole vaulting").prompt, "pole vaulting");
    }

    #[test]
    fn flat_names_end_in_a_number() {
        let class = |name: &str| of_flat_file(Path::new(name)).ok();
        assert_eq!(class("train/pole vaulting_12.jpg"), Some("pole vaulting".into()));
        assert_eq!(class("ice_bear_0007.v2.png"), None);
        assert_eq!(class("ice_bear_0007.png"), Some("ice_bear".into()));
        for nameless in ["_3.png", "__3.png", "cat.png", "cat_.png", "cat_x1.png"] {
            assert_eq!(class(nameless), None, "{nameless}");
        }
    }
}
