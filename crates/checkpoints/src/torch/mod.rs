//! Checkpoints that PyTorch wrote: a pickle of any structure whose tensors lie outside it in *storages*.
//!
//! [`archive`] and [`legacy`] find the pickle and the storages, [`storage`] and [`rebuild`] say what torch's
//! calls in the pickle mean, and [`flatten`] gives every tensor its dotted name.

pub(crate) mod archive;
mod flatten;
pub(crate) mod legacy;
mod rebuild;
mod storage;
mod zip;
