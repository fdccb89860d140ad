//! Domains with list files of lines `<domain>/<class>/<file> <label>`: DomainNet, and PACS with its official lists.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::path_labels::{PathLabel, PathLabels};
use super::{Place, domain_folders};
use crate::listing::{DatasetListing, Images, ListingError};

/// An entry of PACS's lists that Dassl leaves out as erroneous.
const ERRONEOUS: &[u8] = b"sketch/dog/n02103406_4068-1.png";

/// Names of labels, from the second part of each path.
#[derive(Default)]
struct Labels(BTreeMap<usize, String>);

impl Labels {
    fn add(&mut self, row: &PathLabel<'_>, label: usize) -> Result<(), ListingError> {
        let name = row.part(1)?;
        row.part(2)?;
        let first = self.0.entry(label).or_insert_with(|| name.clone());
        if *first != name {
            let (first, second) = (first.clone(), name);
            return Err(ListingError::LabelWithTwoNames { entry: row.entry(), label, first, second });
        }
        Ok(())
    }

    /// The names of all labels; `file` is one of the files that they are from.
    fn finish(self, file: PathBuf) -> Result<Vec<String>, ListingError> {
        let labels = self.0.last_key_value().map_or(0, |(&largest, _)| largest + 1);
        match self.0.keys().enumerate().find(|&(at, &label)| at != label) {
            Some((label, _)) => Err(ListingError::LabelWithoutName { file, label, labels }),
            None => Ok(self.0.into_values().collect()),
        }
    }
}

/// `<domain>_{train,test}.txt`, in `splits/` or beside the folders of the domains.
pub(super) fn read(place: &Place, domains: &[&str]) -> Result<DatasetListing, ListingError> {
    read_lists(place, domains, "", &[("train", "train"), ("test", "test")], 0)
}

/// `<domain>_{train,crossval}_kfold.txt` of PACS, where labels count from 1, as `train` and `val`; where these files
/// are not there, the folders of the domains as the split `all`. (The official `test` lists are the union of both.)
pub(super) fn read_kfold(place: &Place, domains: &[&str]) -> Result<DatasetListing, ListingError> {
    let first = domains.first().copied().unwrap_or_default();
    let folder = ["images", "images/kfold", "kfold"]
        .into_iter()
        .find(|folder| place.folder.join(folder).join(first).exists());
    let folder = folder.unwrap_or_default();
    if list(place, first, "train_kfold").is_some() {
        return read_lists(place, domains, folder, &[("train", "train_kfold"), ("val", "crossval_kfold")], 1);
    }
    let mut folders = Vec::new();
    for &domain in domains {
        let path = place.folder.join(folder).join(domain);
        if !path.exists() {
            let how = place.dataset.parts.first().map_or(place.dataset.homepage, |part| part.how);
            return Err(place.absent(&format!("{folder}/{domain}"), how));
        }
        folders.push((domain, path));
    }
    domain_folders::read_folders(place, &folders)
}

fn list(place: &Place, domain: &str, suffix: &str) -> Option<PathBuf> {
    let name = format!("{domain}_{suffix}.txt");
    let places = ["splits", "pacs_label", "kfold", ""].map(|folder| place.folder.join(folder).join(&name));
    places.into_iter().find(|path| path.exists())
}

fn read_lists(
    place: &Place,
    domains: &[&str],
    folder: &str,
    suffixes: &[(&str, &str)],
    first_label: usize,
) -> Result<DatasetListing, ListingError> {
    let (mut labels, mut splits, mut left_out) = (Labels::default(), Vec::new(), Vec::new());
    let mut last = place.folder.clone();
    for &(split, suffix) in suffixes {
        let mut images = Images::default();
        for (number, &domain) in domains.iter().enumerate() {
            let Some(file) = list(place, domain, suffix) else {
                let how = place.dataset.parts.last().map_or(place.dataset.homepage, |part| part.how);
                return Err(place.absent(&format!("splits/{domain}_{suffix}.txt"), how));
            };
            PathLabels::new(&file, folder).for_each(|row| {
                if *row.path == *ERRONEOUS {
                    left_out.push(format!("{}: left out as in Dassl, the image is erroneous", row.entry()));
                    return Ok(());
                }
                let Some(label) = row.label.checked_sub(first_label) else {
                    return Err(row.malformed(format!("labels count from {first_label} in this file")));
                };
                labels.add(row, label)?;
                row.push(&mut images, label, Some(number));
                Ok(())
            })?;
            last = file;
        }
        splits.push((split, images));
    }
    let mut listing = place.listing(labels.finish(last)?, splits)?;
    listing.domains = domains.iter().map(|&domain| domain.to_owned()).collect();
    listing.left_out = left_out;
    Ok(listing)
}
