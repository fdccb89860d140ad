//! The image loader: reads, decodes, resizes and augments images on a pool of threads, a bounded number of batches
//! ahead of the one that is asked for. Training would otherwise wait for the disk and the decoder at every step.
//!
//! Which bytes an image has depends on the image, the visit and the [`View`] alone, and every image has its place in
//! its batch before work starts. So batches are the same on any number of threads.
//!
//! ```
//! use std::sync::Arc;
//! use regulus_datasets::LabelledImages;
//! use regulus_datasets::loader::{Batch, Loader, LoaderOptions, View, Visit, Workers};
//! use regulus_images::Preprocess;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let images = LabelledImages::new(2, (0..48).collect(), vec![0, 1, 0, 1])?;
//! let plan = [[0, 1], [2, 3]].map(|batch| batch.map(|index| Visit { index, epoch: 0 }).to_vec());
//! let workers = Arc::new(Workers::new(2)?);
//! let options = LoaderOptions::default();
//! let mut loader = Loader::<f32>::new(
//!     Arc::new(images), Preprocess::clip(4), View::Square, None, plan.into_iter(), &workers, options,
//! )?;
//! let mut batch = Batch::default();
//! while loader.next_into(&mut batch) {
//!     assert_eq!(batch.pixels.len(), 2 * 3 * 4 * 4);
//!     assert!(batch.faults.is_empty());
//! }
//! # Ok(())
//! # }
//! ```

mod batch;
mod bench;
pub mod cache;
mod fault;
mod gate;
mod pipeline;
mod prefetch;
mod source;
mod stages;
mod store;
mod view;
mod workers;

pub use batch::{Batch, Sample, Visit};
pub use bench::{BenchError, BenchWork, LoaderBench, LoaderReport, bench};
pub use cache::{CacheError, CacheFolder, CacheReport, SquareCache};
pub use fault::{FaultCause, ImageFault};
pub use prefetch::{Loader, LoaderError, LoaderOptions};
pub(crate) use source::absent;
pub use source::{ImageFiles, Original, Place, Source};
pub use stages::StageSeconds;
pub(crate) use store::SquareReader;
pub use store::{SquareStore, StoreError};
pub use view::{Change, View};
pub use workers::{Workers, WorkersError};
