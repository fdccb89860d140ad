//! Reading published data sets: finding the folder, then one reader per layout.

mod aircraft;
mod class_list;
mod domain_folders;
mod domain_lists;
mod flat_files;
mod imagenet;
mod path_labels;
mod split_file;
mod text;

use std::path::{Path, PathBuf};

use super::cifar;
use super::dataset::{Part, PublishedDataset, PublishedLayout};
use crate::listing::{ClassNames, DatasetListing, Images, ListingError, Split};

pub(super) use text::read_bytes;

/// A data set at a place on disk.
#[derive(Debug)]
pub(super) struct Place {
    pub dataset: &'static PublishedDataset,
    /// Its folder.
    pub folder: PathBuf,
}

impl Place {
    /// Of the usual folders and `root` itself, the first that holds the most parts.
    pub fn find(dataset: &'static PublishedDataset, root: &Path) -> Self {
        let candidates = dataset.folders.iter().map(|folder| root.join(folder)).chain([root.to_owned()]);
        let mut best: Option<(usize, PathBuf)> = None;
        for folder in candidates {
            let place = Self { dataset, folder };
            let parts = dataset.parts.len() - place.missing().len();
            if best.as_ref().is_none_or(|(most, _)| parts > *most) {
                best = Some((parts, place.folder));
            }
        }
        Self { dataset, folder: best.map_or_else(|| root.to_owned(), |(_, folder)| folder) }
    }

    /// The parts that are not there.
    pub fn missing(&self) -> Vec<&'static Part> {
        let is_missing = |part: &&Part| !part.paths.iter().any(|path| self.folder.join(path).exists());
        self.dataset.parts.iter().filter(is_missing).collect()
    }

    /// The first of `paths` that is there, relative to the folder.
    pub fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.folder.join(path).exists())
    }

    /// That something which is needed is not there.
    pub fn absent(&self, path: &str, how: &str) -> ListingError {
        let (dataset, path) = (self.dataset.title.to_owned(), self.folder.join(path));
        ListingError::Absent { dataset, path, how: format!("get it from {how}") }
    }

    /// The listing of these splits.
    pub fn listing(
        &self,
        classes: Vec<String>,
        splits: Vec<(&str, Images)>,
    ) -> Result<DatasetListing, ListingError> {
        let used = splits.into_iter().filter(|(_, images)| !images.is_empty());
        let splits: Vec<Split> = used.map(|(name, images)| Split { name: name.to_owned(), images }).collect();
        if splits.is_empty() {
            return Err(ListingError::Empty { path: self.folder.clone(), expected: "images" });
        }
        Ok(DatasetListing {
            name: self.dataset.name.to_owned(),
            root: self.folder.clone(),
            classes: ClassNames::new(self.dataset.classes.version, classes),
            domains: Vec::new(),
            splits,
            left_out: Vec::new(),
        })
    }
}

/// Lists a data set.
pub(super) fn read(dataset: &'static PublishedDataset, root: &Path) -> Result<DatasetListing, ListingError> {
    read_at(&Place::find(dataset, root))
}

/// Lists a data set whose folder is known.
pub(super) fn read_at(place: &Place) -> Result<DatasetListing, ListingError> {
    if let Some(part) = place.missing().first() {
        return Err(place.absent(part.paths.first().copied().unwrap_or_default(), part.how));
    }
    match place.dataset.layout {
        PublishedLayout::SplitFile { images, file } => split_file::read(place, images, file),
        PublishedLayout::ImageNet => imagenet::read(place),
        PublishedLayout::WnidFolders { images } => imagenet::read_wnid_folders(place, images),
        PublishedLayout::NumberedFolders { images } => imagenet::read_numbered_folders(place, images),
        PublishedLayout::ImageNetLists => imagenet::read_lists(place),
        PublishedLayout::Aircraft => aircraft::read(place),
        PublishedLayout::FlatFiles => flat_files::read(place),
        PublishedLayout::KfoldLists { domains } => domain_lists::read_kfold(place, domains),
        PublishedLayout::DomainLists { domains } => domain_lists::read(place, domains),
        PublishedLayout::DomainFolders { domains } => domain_folders::read(place, domains),
        PublishedLayout::ContextFolders { superclass } => domain_folders::read_contexts(place, superclass),
        PublishedLayout::Cifar10 => cifar::read_ten(place),
        PublishedLayout::Cifar100 => cifar::read_hundred(place),
    }
}
