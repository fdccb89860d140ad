//! `classnames.txt`: one folder of ImageNet and its name per line, in the order of the labels.

use std::collections::HashMap;
use std::path::PathBuf;

use super::Place;
use super::text::{malformed, read_lines};
use crate::listing::ListingError;

/// The classes of ImageNet as `classnames.txt` has them.
#[derive(Debug)]
pub(super) struct ClassList {
    file: PathBuf,
    names: Vec<String>,
    of_folder: HashMap<String, usize>,
}

impl ClassList {
    pub fn read(place: &Place) -> Result<Self, ListingError> {
        let file = place.folder.join("classnames.txt");
        let (mut names, mut of_folder) = (Vec::new(), HashMap::new());
        for (number, line) in read_lines(&file)? {
            let Some((folder, name)) = line.split_once(char::is_whitespace) else {
                return Err(malformed(
                    &file,
                    number,
                    "expected a folder and a name, such as `n01440764 tench`",
                ));
            };
            if of_folder.insert(folder.to_owned(), names.len()).is_some() {
                return Err(malformed(&file, number, format!("the folder {folder} is there twice")));
            }
            names.push(name.trim().to_owned());
        }
        if names.is_empty() {
            return Err(ListingError::Empty { path: file, expected: "class names" });
        }
        Ok(Self { file, names, of_folder })
    }

    /// The name of a folder's class.
    pub fn name_of(&self, folder: &str, entry: impl FnOnce() -> String) -> Result<String, ListingError> {
        let name = self.of_folder.get(folder).and_then(|&at| self.names.get(at)).cloned();
        name.ok_or_else(|| self.unknown(folder, entry()))
    }

    /// All names, in the order of the file.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// All names, in the order of the sorted folders.
    pub fn names_by_folder(&self) -> Vec<String> {
        let mut folders: Vec<(&String, usize)> = self.of_folder.iter().map(|(f, &at)| (f, at)).collect();
        folders.sort();
        folders.into_iter().filter_map(|(_, at)| self.names.get(at).cloned()).collect()
    }

    /// That a class is not in the file.
    pub fn unknown(&self, class: &str, entry: String) -> ListingError {
        ListingError::UnknownClass { entry, class: class.to_owned(), list: self.file.clone() }
    }
}
