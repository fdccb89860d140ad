//! Domains as folders: of OfficeHome, of PACS without list files, and, one level deeper, of NICO.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Place;
use crate::listing::{DatasetListing, Entry, Images, ListingError, Tree};

/// Class folders, and the images below each.
type ClassFolders = Vec<(String, PathBuf)>;

/// `<domain>/<class>/*` becomes the split `all`; `<domain>/{train,val}/<class>/*` becomes `train` and `val`.
pub(super) fn read(place: &Place, domains: &[&[&str]]) -> Result<DatasetListing, ListingError> {
    let mut folders = Vec::new();
    for names in domains {
        let name = names.first().copied().unwrap_or_default();
        let folder = place.first(names).ok_or_else(|| place.absent(name, place.dataset.homepage))?;
        folders.push((name, place.folder.join(folder)));
    }
    read_folders(place, &folders)
}

/// The same for domains whose folders are known.
pub(super) fn read_folders(
    place: &Place,
    folders: &[(&str, PathBuf)],
) -> Result<DatasetListing, ListingError> {
    let mut tree = Tree::new(&place.folder);
    let halves = ["train", "val"];
    let split_up = folders.iter().all(|(_, folder)| halves.iter().all(|half| folder.join(half).is_dir()));
    let wanted: &[&str] = if split_up { &halves } else { &["all"] };
    let mut found: Vec<(&str, usize, ClassFolders)> = Vec::new();
    for &split in wanted {
        for (domain, (_, folder)) in folders.iter().enumerate() {
            let folder = if split_up { folder.join(split) } else { folder.clone() };
            found.push((split, domain, tree.folders(&folder)?));
        }
    }
    let names = union(found.iter().flat_map(|(_, _, classes)| classes.iter().map(|(name, _)| name)));
    let mut splits: Vec<(&str, Images)> = wanted.iter().map(|&split| (split, Images::default())).collect();
    for (split, domain, classes) in found {
        let Some((_, images)) = splits.iter_mut().find(|(name, _)| *name == split) else { continue };
        for (class, folder) in classes {
            let label = names.binary_search(&class).unwrap_or_default();
            for path in tree.images_below(&folder)? {
                images.push(&path, Entry { label, domain: Some(domain), ..Entry::default() }, None);
            }
        }
    }
    let mut listing = place.listing(names, splits)?;
    listing.domains = folders.iter().map(|(name, _)| (*name).to_owned()).collect();
    listing.left_out = tree.left_out;
    Ok(listing)
}

/// `<superclass>/<class>/<context>/*` becomes the split `all`; the contexts of all classes, sorted, are the domains.
pub(super) fn read_contexts(place: &Place, superclass: &[&str]) -> Result<DatasetListing, ListingError> {
    let mut tree = Tree::new(&place.folder);
    let name = superclass.first().copied().unwrap_or_default();
    let folder = place.first(superclass).ok_or_else(|| place.absent(name, place.dataset.homepage))?;
    let mut classes: Vec<(String, ClassFolders)> = Vec::new();
    for (class, folder) in tree.folders(&place.folder.join(folder))? {
        let contexts = tree.folders(&folder)?;
        if contexts.is_empty() {
            return Err(ListingError::Empty { path: folder, expected: "folders of contexts" });
        }
        classes.push((class, contexts));
    }
    let domains = union(classes.iter().flat_map(|(_, contexts)| contexts.iter().map(|(name, _)| name)));
    let mut images = Images::default();
    for (label, (_, contexts)) in classes.iter().enumerate() {
        for (context, folder) in contexts {
            let domain = domains.binary_search(context).ok();
            for path in tree.images_below(folder)? {
                images.push(&path, Entry { label, domain, ..Entry::default() }, None);
            }
        }
    }
    let names = classes.into_iter().map(|(name, _)| name).collect();
    let mut listing = place.listing(names, vec![("all", images)])?;
    listing.domains = domains;
    listing.left_out = tree.left_out;
    Ok(listing)
}

/// The different names, sorted.
fn union<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}
