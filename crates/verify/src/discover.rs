//! Finding cases below a folder.

use crate::methods::rates;
use std::path::{Path, PathBuf};

/// A recorded case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    /// A folder with recorded inputs and outputs of a model, a tokenizer or preprocessing.
    Model(PathBuf),
    /// `NAME.safetensors` and `NAME.json`: a loss or a trajectory of a method.
    Method {
        /// The tensors.
        tensors: PathBuf,
        /// What the tensors mean, and hyper-parameters.
        notes: PathBuf,
    },
    /// A JSON file without tensors: learning rates step by step.
    Rates(PathBuf),
}

impl Case {
    /// Folder or file of the case.
    pub fn name(&self) -> String {
        match self {
            Self::Model(folder) => folder.display().to_string(),
            Self::Method { tensors, .. } => tensors.with_extension("").display().to_string(),
            Self::Rates(notes) => notes.with_extension("").display().to_string(),
        }
    }
}

/// A folder in which no cases can be found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// A folder cannot be listed.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// There is no case.
    #[error(
        "{}: no case found; expected a folder with io.safetensors or strings.json, NAME.safetensors beside NAME.json, or \
         learning rates in JSON",
        .path.display()
    )]
    None {
        /// The folder.
        path: PathBuf,
    },
}

/// What makes a folder the case of a model.
const MARKS: [&str; 2] = ["io.safetensors", "strings.json"];

/// Tensors that other cases of the folder share; no case themselves.
const SHARED: &str = "common";

/// How deep cases may lie. Links that lead in circles end here.
const DEPTH: usize = 8;

/// All cases in `root` and below, sorted.
///
/// # Errors
/// [`DiscoverError`] if a folder cannot be listed, or no case is found.
pub fn find_cases(root: &Path) -> Result<Vec<Case>, DiscoverError> {
    let mut cases = Vec::new();
    if root.is_dir() {
        search(root, DEPTH, &mut cases)?;
    } else if let Some(case) = method(root) {
        cases.push(case);
    }
    cases.sort();
    cases.dedup();
    if cases.is_empty() { Err(DiscoverError::None { path: root.into() }) } else { Ok(cases) }
}

fn search(folder: &Path, depth: usize, cases: &mut Vec<Case>) -> Result<(), DiscoverError> {
    if MARKS.iter().any(|mark| folder.join(mark).is_file()) {
        cases.push(Case::Model(folder.into()));
        return Ok(());
    }
    let read = |source| DiscoverError::Read { path: folder.into(), source };
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.is_dir() {
            if depth > 0 {
                search(&path, depth - 1, cases)?;
            }
        } else {
            cases.extend(method(&path));
        }
    }
    Ok(())
}

/// The method's case of which `path` is one of the files.
fn method(path: &Path) -> Option<Case> {
    let (tensors, notes) = (path.with_extension("safetensors"), path.with_extension("json"));
    if path.file_stem().is_some_and(|stem| stem == SHARED) || !notes.is_file() {
        return None;
    }
    match tensors.is_file() {
        true => Some(Case::Method { tensors, notes }),
        false => (path == notes && rates::recognises(path)).then_some(Case::Rates(notes)),
    }
}
