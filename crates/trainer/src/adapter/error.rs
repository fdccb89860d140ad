//! What can be wrong with an adapter file.

use std::path::PathBuf;

use super::card::FORMAT;

/// An adapter that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The values cannot be stored.
    #[error("cannot encode {}: {reason}", .path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file cannot be read.
    #[error("cannot read the adapter {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The path is not that of a file.
    #[error(
        "{} is not a file; name the `adapter.safetensors` in the folder of a run", .path.display()
    )]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// What is in the file is no adapter.
    #[error("{}: {fault}", .path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: Fault,
    },
}

/// Bytes that are no adapter.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The container is not one, is cut short, or contradicts itself.
    #[error("not a whole safetensors file ({reason}); copy it again, or name another file")]
    Container {
        /// What the reader of the container says.
        reason: String,
    },
    /// Weights of something else.
    #[error(
        "holds no card of Regulus in its metadata, so it is no adapter; name the `adapter.safetensors` of a run"
    )]
    NoCard,
    /// Another form of the file.
    #[error(
        "has adapter format {found}, and this program reads {FORMAT}: {}",
        if *found > FORMAT { "use a newer Regulus" } else { "it is from before adapters could be read, so train again" }
    )]
    Format {
        /// The number in the file; 0 where there is none.
        found: u32,
    },
    /// The card cannot be understood.
    #[error("its card is damaged: {reason}")]
    Card {
        /// What is wrong.
        reason: String,
    },
    /// The card speaks of a tensor that is not there.
    #[error("the tensor `{name}`, which its card lists under `{list}`, is missing; the file is damaged")]
    Missing {
        /// The tensor.
        name: String,
        /// `buffers` or `bits`.
        list: &'static str,
    },
    /// A tensor has another type than it should.
    #[error("the tensor `{name}` has type {found}, expected {expected}")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
        /// The type of such tensors.
        expected: &'static str,
    },
    /// A tensor has another shape than it should.
    #[error("the tensor `{name}` has shape {found:?}, expected {expected}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What was expected.
        expected: String,
    },
    /// A threshold that is no number.
    #[error("the threshold of `{name}` is {found}, expected a number within f32")]
    Threshold {
        /// The tensor.
        name: String,
        /// The threshold.
        found: f64,
    },
}
