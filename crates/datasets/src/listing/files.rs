//! Whether the listed files are there. Asking is one call to the system per image, so it is done in parallel and only
//! when asked for.

use std::fmt;
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;

use super::Split;

/// A listed image that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingImage {
    /// Its split.
    pub split: String,
    /// Its path, relative to the root of the listing.
    pub path: String,
    /// The entry that names it.
    pub entry: Option<String>,
}

impl fmt::Display for MissingImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of split {}", self.path, self.split)?;
        self.entry.as_ref().map_or(Ok(()), |entry| write!(f, " ({entry})"))
    }
}

/// The listed images that are not there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct MissingImages {
    /// How many there are.
    pub count: usize,
    /// The first [`MissingImages::NAMED`] of them.
    pub first: Vec<MissingImage>,
}

impl MissingImages {
    /// Most images that are named.
    pub const NAMED: usize = 10;
}

pub(super) fn missing(root: &Path, splits: &[Split]) -> MissingImages {
    let mut missing = MissingImages::default();
    for Split { name, images } in splits {
        let is_missing = |&index: &usize| {
            images.get(index).is_some_and(|image| {
                image.is_from_list()
                    && !std::fs::metadata(root.join(image.path())).is_ok_and(|found| found.is_file())
            })
        };
        let absent: Vec<usize> = (0..images.len()).into_par_iter().filter(is_missing).collect();
        missing.count += absent.len();
        let room = MissingImages::NAMED.saturating_sub(missing.first.len());
        missing.first.extend(
            absent.iter().take(room).filter_map(|&index| images.get(index)).map(|image| MissingImage {
                split: name.clone(),
                path: image.shown(),
                entry: image.entry(),
            }),
        );
    }
    missing
}
