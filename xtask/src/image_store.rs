//! Where decoded images on disk are kept: in a cache that all runs share, which the environment moves, limits or
//! switches off.

use std::path::PathBuf;

use anyhow::anyhow;
use regulus_datasets::loader::cache::default_folder;
use regulus_datasets::loader::{CacheFolder, SquareStore};
use regulus_trainer::estimate::{available, parse_size};

use crate::failure::{Failure, Outcome};

/// The value of `REGULUS_CACHE` that switches the cache off.
const OFF: &str = "off";
const BUDGET: &str = "REGULUS_CACHE_BUDGET";
const DEFAULT_BUDGET: u64 = 32 << 30;

/// The cache in the folder of `REGULUS_CACHE` or the usual one, and up to half of the memory that is there for what is
/// not cached.
pub fn image_store() -> Outcome<SquareStore> {
    let budget = match std::env::var_os(BUDGET) {
        None => DEFAULT_BUDGET,
        Some(value) => parse_size(&value.to_string_lossy()).ok_or_else(|| {
            let value = value.to_string_lossy();
            Failure::Request(anyhow!("{BUDGET} is `{value}`; expected a size such as 32GiB or 500 MB"))
        })?,
    };
    let folder = default_folder().filter(|folder: &PathBuf| folder.as_os_str() != OFF);
    let memory = available().map_err(Failure::request)?;
    Ok(SquareStore {
        memory: memory.map_or(SquareStore::default().memory, |memory| memory / 2),
        cache: folder.map(|path| CacheFolder { path, budget }),
    })
}
