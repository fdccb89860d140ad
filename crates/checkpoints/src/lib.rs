#![doc = include_str!("../README.md")]

mod checkpoint;
mod container;
mod digest;
mod error;
mod layout;
mod mapped;
mod pickle;
mod safetensors_file;
mod sha256;
mod sharded;
mod tensor;
mod torch;

pub use checkpoint::{Checkpoint, Scalar};
pub use container::Container;
pub use digest::FileDigest;
pub use error::CheckpointError;
pub use mapped::SharedBytes;
pub use sha256::sha256;
pub use tensor::{Dtype, TensorView};
