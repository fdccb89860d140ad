//! JSON files of model folders.

use super::{LoadError, SaveError};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A JSON file that has been read but not yet understood.
pub(crate) struct Json {
    pub path: PathBuf,
    text: String,
}

impl Json {
    /// Reads the file `name` of the folder `directory`.
    pub(crate) fn read(directory: &Path, name: &str, expected: &'static str) -> Result<Self, LoadError> {
        Self::open(existing(directory, name, expected)?)
    }

    /// Reads the file at `path`.
    pub(crate) fn open(path: PathBuf) -> Result<Self, LoadError> {
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(source) => Err(LoadError::Read { path, source }),
        }
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, LoadError> {
        serde_json::from_str(&self.text).map_err(|source| LoadError::Json { path: self.path.clone(), source })
    }

    pub(crate) fn unsupported(
        &self,
        field: &'static str,
        found: impl Display,
        expected: &'static str,
    ) -> LoadError {
        LoadError::Unsupported { path: self.path.clone(), field, found: found.to_string(), expected }
    }
}

/// The path of the file `name` of the folder `directory`.
pub(crate) fn existing(directory: &Path, name: &str, expected: &'static str) -> Result<PathBuf, LoadError> {
    let path = directory.join(name);
    if path.exists() { Ok(path) } else { Err(LoadError::Missing { path, expected }) }
}

/// The text of a JSON file.
pub(crate) fn pretty(value: &impl Serialize) -> Result<String, SaveError> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
