#![doc = include_str!("../README.md")]

mod checkpoint;
mod error;
mod mapped;
mod safetensors_file;
mod sha256;
mod tensor;

pub use checkpoint::{Checkpoint, Container, Scalar};
pub use error::CheckpointError;
pub use sha256::sha256;
pub use tensor::{Dtype, TensorView};
