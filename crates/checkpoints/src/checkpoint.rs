//! A checkpoint: named tensors of one or several files, whatever container holds them.

use crate::error::CheckpointError;
use crate::mapped::MappedFile;
use crate::safetensors_file;
use crate::sha256::sha256;
use crate::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How a file holds its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A safetensors file.
    Safetensors,
}

/// A value of a checkpoint that is no tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(String),
}

/// The tensors of a checkpoint by name. Files stay memory-mapped; values are converted when they are asked for.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    container: Container,
    files: Vec<MappedFile>,
    tensors: BTreeMap<String, Entry>,
    scalars: BTreeMap<String, Scalar>,
}

/// Where a tensor lies.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Index of the file.
    pub file: usize,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// The bytes of its values in that file.
    pub bytes: Range<usize>,
}

impl Checkpoint {
    /// Opens the file at `path`. Its container is recognised by its first bytes, never by its name.
    ///
    /// # Errors
    /// [`CheckpointError`] if the file cannot be read, is damaged or of no known format.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let file =
            MappedFile::open(path).map_err(|source| CheckpointError::Read { path: path.into(), source })?;
        let tensors = safetensors_file::entries(file.bytes()).map_err(|reason| CheckpointError::Format {
            path: path.into(),
            format: "safetensors",
            reason,
        })?;
        Ok(Self {
            path: path.into(),
            container: Container::Safetensors,
            files: vec![file],
            tensors,
            scalars: BTreeMap::new(),
        })
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the file holds its tensors.
    pub fn container(&self) -> Container {
        self.container
    }

    /// The tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, TensorView<'_>)> {
        self.tensors.iter().filter_map(|(name, entry)| Some((name.as_str(), self.view(entry)?)))
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.view(self.tensors.get(name)?)
    }

    /// Values that are no tensors, such as an epoch or the name of an architecture, by name.
    pub fn scalars(&self) -> &BTreeMap<String, Scalar> {
        &self.scalars
    }

    /// SHA-256 in hexadecimal: of the file or, for several, of their digests in order.
    pub fn sha256(&self) -> String {
        match self.files.as_slice() {
            [file] => sha256(file.bytes()),
            files => sha256(files.iter().map(|file| sha256(file.bytes())).collect::<String>().as_bytes()),
        }
    }

    fn view<'a>(&'a self, entry: &'a Entry) -> Option<TensorView<'a>> {
        let bytes = self.files.get(entry.file)?.bytes().get(entry.bytes.clone())?;
        Some(TensorView { dtype: entry.dtype, shape: &entry.shape, bytes })
    }
}
