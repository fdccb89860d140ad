//! The data sets that are known, one file per family.

mod class_names;
mod coop;
mod domains;
mod imagenet;
mod small;

use super::dataset::PublishedDataset;

/// Every data set, in the order of the documentation.
pub(super) fn all() -> impl Iterator<Item = &'static PublishedDataset> {
    [coop::DATASETS, imagenet::DATASETS, domains::DATASETS, small::DATASETS].into_iter().flatten()
}
