//! Finding cases below a folder.

use crate::methods::rates;
use std::collections::BTreeSet;
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
    /// The folder does not exist or cannot be looked at.
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

/// How deep cases may lie.
const DEPTH: usize = 8;

/// All cases in `root` and below, sorted. A folder that cannot be listed is a case that will fail.
///
/// # Errors
/// [`DiscoverError`] if `root` does not exist or holds no case.
pub fn find_cases(root: &Path) -> Result<Vec<Case>, DiscoverError> {
    if let Err(source) = std::fs::metadata(root) {
        return Err(DiscoverError::Read { path: root.into(), source });
    }
    let is_mark = root.file_name().is_some_and(|name| MARKS.iter().any(|mark| name == *mark));
    let root = if is_mark { root.parent().unwrap_or(root) } else { root };
    let mut search = Search::default();
    if root.is_dir() {
        search.enter(root, DEPTH);
    } else {
        search.cases.extend(method(root));
    }
    search.cases.sort();
    search.cases.dedup();
    if search.cases.is_empty() {
        return Err(DiscoverError::None { path: root.into() });
    }
    Ok(search.cases)
}

#[derive(Default)]
struct Search {
    cases: Vec<Case>,
    /// Folders that were entered, without links: links that lead in circles end here.
    entered: BTreeSet<PathBuf>,
}

impl Search {
    fn enter(&mut self, folder: &Path, depth: usize) {
        let is_new = folder.canonicalize().is_ok_and(|real| self.entered.insert(real));
        if !is_new {
            return;
        }
        // Whatever bears the name: what is no file or cannot be read is a case that fails.
        let is_model = MARKS.iter().any(|mark| folder.join(mark).symlink_metadata().is_ok());
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) if !is_model => entries,
            _ => return self.cases.push(Case::Model(folder.into())),
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if !path.is_dir() {
                self.cases.extend(method(&path));
            } else if depth > 0 {
                self.enter(&path, depth - 1);
            }
        }
    }
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
