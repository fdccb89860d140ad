//! `{train,test}/<class>_<number>.<ext>`, as in BAR.

use std::collections::BTreeSet;

use super::Place;
use crate::folders::class_of_flat_file;
use crate::listing::{DatasetListing, Entry, Images, ListingError, Tree, as_path};

/// Classes are the sorted names in file names of `train`; a test image of another class is refused.
pub(super) fn read(place: &Place) -> Result<DatasetListing, ListingError> {
    let mut tree = Tree::new(&place.folder);
    let mut found = Vec::new();
    for split in ["train", "test"] {
        let mut files = Vec::new();
        for path in tree.images(&place.folder.join(split))? {
            let class = class_of_flat_file(&as_path(&path)).map_err(|error| ListingError::Malformed {
                entry: place.folder.join(as_path(&path)).display().to_string(),
                reason: error.to_string(),
            })?;
            files.push((class, path));
        }
        found.push((split, files));
    }
    let of_train = found.first().into_iter().flat_map(|(_, files)| files);
    let names: BTreeSet<String> = of_train.map(|(class, _)| class.clone()).collect();
    let names: Vec<String> = names.into_iter().collect();
    let mut splits = Vec::new();
    for (split, files) in found {
        let mut images = Images::default();
        for (class, path) in files {
            let label = names.binary_search(&class).map_err(|_| ListingError::UnknownClass {
                entry: place.folder.join(as_path(&path)).display().to_string(),
                class: class.clone(),
                list: place.folder.join("train"),
            })?;
            images.push(&path, Entry { label, ..Entry::default() }, None);
        }
        splits.push((split, images));
    }
    let mut listing = place.listing(names, splits)?;
    listing.left_out = tree.left_out;
    Ok(listing)
}
