//! CIFAR-10 and CIFAR-100 in their original archives, read where they lie: a listing holds the byte at which the
//! pixels of each image start, and nothing is unpacked to files.
//!
//! A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

mod binary;
mod pickle;
mod python;

use std::path::Path;

use super::read::Place;
use crate::listing::{DatasetListing, Entry, EntryUnit, Images, ListingError, Origin};

/// Bytes of an image: three planes of 32 x 32.
const PIXELS: usize = 3 * 32 * 32;

/// The images of one archive: labels, and where pixels start.
type Records = Vec<(usize, u64)>;

/// One of the two forms of the archives.
struct Form {
    folder: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    read: fn(&Path) -> Result<Records, ListingError>,
}

/// CIFAR-10: the binary form if it is there, otherwise the Python form.
pub(super) fn read_ten(place: &Place) -> Result<DatasetListing, ListingError> {
    const BINARY: &[&str] =
        &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
    const PYTHON: &[&str] = &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"];
    let binary = Form {
        folder: "cifar-10-batches-bin",
        train: BINARY,
        test: "test_batch.bin",
        read: binary::read_ten,
    };
    let python = Form {
        folder: "cifar-10-batches-py",
        train: PYTHON,
        test: "test_batch",
        read: |path| python::read(path, b"labels"),
    };
    read(place, [binary, python])
}

/// CIFAR-100 by its fine labels: the binary form if it is there, otherwise the Python form.
pub(super) fn read_hundred(place: &Place) -> Result<DatasetListing, ListingError> {
    let binary = Form {
        folder: "cifar-100-binary",
        train: &["train.bin"],
        test: "test.bin",
        read: binary::read_hundred,
    };
    let python = Form {
        folder: "cifar-100-python",
        train: &["train"],
        test: "test",
        read: |path| python::read(path, b"fine_labels"),
    };
    read(place, [binary, python])
}

fn read(place: &Place, forms: [Form; 2]) -> Result<DatasetListing, ListingError> {
    let names: Vec<String> =
        place.dataset.classes.names.unwrap_or_default().lines().map(str::to_owned).collect();
    let is_there = |form: &&Form| place.folder.join(form.folder).join(form.test).exists();
    let [first, _] = &forms;
    let form = forms.iter().find(is_there).unwrap_or(first);
    let mut splits = Vec::new();
    for (split, files) in [("train", form.train), ("test", &[form.test][..])] {
        let mut images = Images::default();
        for file in files {
            let inside = format!("{}/{file}", form.folder);
            let path = place.folder.join(&inside);
            if !path.exists() {
                let how = place.dataset.parts.first().map_or(place.dataset.homepage, |part| part.how);
                return Err(place.absent(&inside, how));
            }
            let origin = Origin { file: path.clone(), unit: EntryUnit::Element("images".to_owned()) };
            for (number, (label, offset)) in (form.read)(&path)?.into_iter().enumerate() {
                if label >= names.len() {
                    let entry = format!("{}, image {number}", path.display());
                    let reason = format!("the label {label} is not below {}", names.len());
                    return Err(ListingError::Malformed { entry, reason });
                }
                let entry = Entry { label, offset, number, domain: None };
                images.push(inside.as_bytes(), entry, Some(&origin));
            }
        }
        splits.push((split, images));
    }
    place.listing(names, splits)
}
