//! ImageNet, the test sets over its classes, and its long-tailed lists.

use super::Place;
use super::class_list::ClassList;
use super::path_labels::PathLabels;
use crate::listing::{DatasetListing, Entry, Images, ListingError, Tree};

/// `images/{train,val}/<wnid>/*`. A label is the place of a folder among the sorted folders of `train`.
pub(super) fn read(place: &Place) -> Result<DatasetListing, ListingError> {
    let list = ClassList::read(place)?;
    let mut tree = Tree::new(&place.folder);
    let mut names: Vec<String> = Vec::new();
    let mut wnids: Vec<String> = Vec::new();
    let mut splits = Vec::new();
    for (split, folder) in [("train", "images/train"), ("test", "images/val")] {
        let folder = place.folder.join(folder);
        let folders = tree.folders(&folder)?;
        if folders.is_empty() {
            let expected =
                "class folders (ImageNet's validation images have to be sorted into folders by wnid)";
            return Err(ListingError::Empty { path: folder, expected });
        }
        if split == "train" {
            wnids = folders.iter().map(|(wnid, _)| wnid.clone()).collect();
            let name = |(wnid, path): &(String, std::path::PathBuf)| {
                list.name_of(wnid, || path.display().to_string())
            };
            names = folders.iter().map(name).collect::<Result<_, _>>()?;
        }
        let mut images = Images::default();
        for (wnid, path) in &folders {
            let label = wnids.binary_search(wnid);
            let label = label.map_err(|_| list.unknown(wnid, path.display().to_string()))?;
            for image in tree.images(path)? {
                images.push(&image, Entry { label, ..Entry::default() }, None);
            }
        }
        splits.push((split, images));
    }
    let mut listing = place.listing(names, splits)?;
    listing.left_out = tree.left_out;
    Ok(listing)
}

/// `<folder>/<wnid>/*`: a label is the place of a folder among the sorted folders that are there, so that a set of 200
/// classes has labels below 200. Names come from the folders, by `classnames.txt`.
pub(super) fn read_wnid_folders(place: &Place, folder: &str) -> Result<DatasetListing, ListingError> {
    let list = ClassList::read(place)?;
    let mut tree = Tree::new(&place.folder);
    let (mut names, mut images) = (Vec::new(), Images::default());
    for (label, (wnid, path)) in tree.folders(&place.folder.join(folder))?.into_iter().enumerate() {
        names.push(list.name_of(&wnid, || path.display().to_string())?);
        for image in tree.images(&path)? {
            images.push(&image, Entry { label, ..Entry::default() }, None);
        }
    }
    let mut listing = place.listing(names, vec![("test", images)])?;
    listing.left_out = tree.left_out;
    Ok(listing)
}

/// `<folder>/<label>/*`: a label is a line of `classnames.txt`, from 0. The images of a label come in its place.
pub(super) fn read_numbered_folders(place: &Place, folder: &str) -> Result<DatasetListing, ListingError> {
    let list = ClassList::read(place)?;
    let mut tree = Tree::new(&place.folder);
    let mut folders = Vec::new();
    for (name, path) in tree.folders(&place.folder.join(folder))? {
        let label = name.parse::<usize>().ok().filter(|&label| label < list.names().len());
        folders.push((label.ok_or_else(|| list.unknown(&name, path.display().to_string()))?, path));
    }
    folders.sort();
    let mut images = Images::default();
    for (label, path) in folders {
        for image in tree.images(&path)? {
            images.push(&image, Entry { label, ..Entry::default() }, None);
        }
    }
    let mut listing = place.listing(list.names().to_vec(), vec![("test", images)])?;
    listing.left_out = tree.left_out;
    Ok(listing)
}

/// `ImageNet_LT_{train,val,test}.txt` over ImageNet's folders. Labels are places among ImageNet's sorted folders.
pub(super) fn read_lists(place: &Place) -> Result<DatasetListing, ListingError> {
    let list = ClassList::read(place)?;
    let names = list.names_by_folder();
    let images_folder = if place.folder.join("images/train").exists() { "images" } else { "" };
    let mut splits = Vec::new();
    for split in ["train", "val", "test"] {
        let paths = [format!("ImageNet_LT/ImageNet_LT_{split}.txt"), format!("ImageNet_LT_{split}.txt")];
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let Some(path) = place.first(&paths) else { continue };
        let mut images = Images::default();
        PathLabels::new(&place.folder.join(path), images_folder).for_each(|row| {
            if row.label >= names.len() {
                return Err(list.unknown(&row.label.to_string(), row.entry()));
            }
            row.push(&mut images, row.label, None);
            Ok(())
        })?;
        splits.push((split, images));
    }
    place.listing(names, splits)
}
