//! FGVC-Aircraft: the official lists of variants.

use std::collections::HashMap;

use super::Place;
use super::text::{malformed, read_lines};
use crate::listing::{DatasetListing, Entry, EntryUnit, Images, ListingError, Origin, relative, shown};

/// `images/<name>.jpg` by `images_variant_*.txt`, whose lines are `<name> <variant>`; labels are lines of
/// `variants.txt`.
pub(super) fn read(place: &Place) -> Result<DatasetListing, ListingError> {
    let variants = place.folder.join("variants.txt");
    let names: Vec<String> = read_lines(&variants)?.into_iter().map(|(_, name)| name).collect();
    let labels: HashMap<&str, usize> =
        names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let mut splits = Vec::new();
    for split in ["train", "val", "test"] {
        let file = place.folder.join(format!("images_variant_{split}.txt"));
        let origin = Origin { file: file.clone(), unit: EntryUnit::Line };
        let mut images = Images::default();
        for (number, line) in read_lines(&file)? {
            let Some((name, variant)) = line.split_once(' ') else {
                return Err(malformed(
                    &file,
                    number,
                    "expected an image and a variant, such as `1025794 707-320`",
                ));
            };
            let entry = || format!("{}, line {number}", file.display());
            let Some(&label) = labels.get(variant.trim()) else {
                let class = variant.trim().to_owned();
                return Err(ListingError::UnknownClass { entry: entry(), class, list: variants });
            };
            let path = format!("{name}.jpg");
            let path = relative(path.as_bytes()).map_err(|fault| ListingError::UnsafePath {
                entry: entry(),
                path: shown(name.as_bytes()),
                fault,
            })?;
            let path = [&b"images"[..], &path].join(&b'/');
            images.push(&path, Entry { label, number, ..Entry::default() }, Some(&origin));
        }
        splits.push((split, images));
    }
    place.listing(names, splits)
}
