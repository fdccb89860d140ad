//! A checkpoint: named tensors of one or several files, whatever container holds them.

use crate::container::{Container, Family, Format, recognise};
use crate::digest::FileDigest;
use crate::error::CheckpointError;
use crate::layout::Layout;
use crate::mapped::MappedFile;
use crate::tensor::{Dtype, TensorView};
use crate::{safetensors_file, sharded, torch};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    files: Vec<Arc<MappedFile>>,
    contents: Contents,
}

/// What the files of a checkpoint hold.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub tensors: BTreeMap<String, Entry>,
    pub scalars: BTreeMap<String, Scalar>,
}

/// Where a tensor lies.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Index of the file.
    pub file: usize,
    pub dtype: Dtype,
    pub layout: Layout,
    /// The bytes in that file from the first to the last element of the layout.
    pub bytes: Range<usize>,
}

impl Checkpoint {
    /// Opens the file at `path`, or the shards that it names if it is an index. Its container is recognised by
    /// its contents, never by its name. Tensors inside dicts, lists and objects get dotted names.
    ///
    /// # Errors
    /// [`CheckpointError`] if the file cannot be read, is damaged or of no known format, or if a tensor leaves
    /// its storage or has a number format other than [`Dtype`]'s.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let file = map(path)?;
        match recognise(file.bytes(), path)? {
            Family::Index => sharded::open(file.bytes(), path),
            Family::Single(format) => Self::read(path, file, format),
        }
    }

    /// Reads a file that is in memory. `path` is its name in messages; nothing is opened.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], and for an index, whose shards are other files.
    pub fn from_bytes(path: impl AsRef<Path>, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        Self::single(path.as_ref(), MappedFile::in_memory(bytes))
    }

    /// Opens a file that an index names. It cannot be an index itself.
    pub(crate) fn open_shard(path: &Path) -> Result<Self, CheckpointError> {
        Self::single(path, map(path)?)
    }

    fn single(path: &Path, file: MappedFile) -> Result<Self, CheckpointError> {
        match recognise(file.bytes(), path)? {
            Family::Index => {
                let reason =
                    "it is an index, but must hold tensors itself to be a shard or read from memory".into();
                Err(CheckpointError::Shards { path: path.into(), reason })
            }
            Family::Single(format) => Self::read(path, file, format),
        }
    }

    fn read(path: &Path, file: MappedFile, format: Format) -> Result<Self, CheckpointError> {
        let bytes = file.bytes();
        let (container, contents) = match format {
            Format::Safetensors => (Container::Safetensors, safetensors_file::read(bytes)),
            Format::Zip => torch::archive::read(bytes),
            Format::Legacy => (Container::TorchLegacy, torch::legacy::read(bytes)),
        };
        let contents = contents.map_err(|fault| fault.of(path, container.name()))?;
        Ok(Self { path: path.into(), container, files: vec![Arc::new(file)], contents })
    }

    /// One checkpoint of several.
    pub(crate) fn join(path: &Path, container: Container, shards: Vec<Self>) -> Self {
        let mut files = Vec::new();
        let mut contents = Contents::default();
        for shard in shards {
            for (name, entry) in shard.contents.tensors {
                contents.tensors.insert(name, Entry { file: files.len() + entry.file, ..entry });
            }
            contents.scalars.extend(shard.contents.scalars);
            files.extend(shard.files);
        }
        Self { path: path.into(), container, files, contents }
    }

    /// The file that was opened; of a sharded checkpoint, its index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the file holds its tensors.
    pub fn container(&self) -> Container {
        self.container
    }

    /// The tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, TensorView<'_>)> {
        self.contents.tensors.iter().filter_map(|(name, entry)| Some((name.as_str(), self.view(entry)?)))
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.view(self.contents.tensors.get(name)?)
    }

    /// Values that are no tensors, such as an epoch or the name of an architecture, by name. They are only
    /// informative: of a file that holds very many, some are left out.
    pub fn scalars(&self) -> &BTreeMap<String, Scalar> {
        &self.contents.scalars
    }

    /// SHA-256 of the file or, for several, of their digests in the order of the shards' names. Nothing is computed
    /// before it is asked for.
    pub fn sha256(&self) -> FileDigest {
        FileDigest::of(self.files.clone())
    }

    fn view<'a>(&'a self, entry: &'a Entry) -> Option<TensorView<'a>> {
        let file = self.files.get(entry.file)?;
        let bytes = file.bytes().get(entry.bytes.clone())?;
        Some(TensorView { dtype: entry.dtype, layout: &entry.layout, file, range: &entry.bytes, bytes })
    }
}

fn map(path: &Path) -> Result<MappedFile, CheckpointError> {
    MappedFile::open(path).map_err(|source| CheckpointError::Read { path: path.into(), source })
}
