//! The official splits of data sets that come without one, as listings.

use super::{PythonRandom, SplitError, split_in_three, split_train_val};
use crate::listing::{DatasetListing, Images, Split};

/// CoOp's share of the training images that validate.
const VAL: f64 = 0.2;
/// CoOp's shares of training and validation images of a data set without any split.
const TRAIN_AND_VAL: (f64, f64) = (0.5, 0.2);

/// A listing whose `val` is a fifth of each class of its `train`, which keeps the rest; unchanged if it has a `val` or
/// no `train`. See [`split_train_val`].
///
/// # Errors
/// [`SplitError::TooFew`] for a class with one or two images.
pub fn with_validation(listing: DatasetListing, seed: u64) -> Result<DatasetListing, SplitError> {
    let Some(images) = listing.split("train").filter(|_| listing.split("val").is_none()) else {
        return Ok(listing);
    };
    let (train, val) = split_train_val(&images.labels(), VAL, &mut PythonRandom::seed(seed))?;
    let (train, val) = (images.pick(&train), images.pick(&val));
    let mut splits = vec![Split { name: "train".to_owned(), images: train }];
    splits.push(Split { name: "val".to_owned(), images: val });
    splits.extend(listing.splits.into_iter().filter(|split| split.name != "train"));
    Ok(DatasetListing { splits, ..listing })
}

/// A listing whose `all` is split into `train` (half), `val` (a fifth) and `test`, class by class in the order of the
/// labels; unchanged without an `all`. See [`split_in_three`].
///
/// # Errors
/// [`SplitError::TooFew`] for a class with fewer than four images.
pub fn with_three_splits(listing: DatasetListing, seed: u64) -> Result<DatasetListing, SplitError> {
    let Some(images) = listing.split("all") else { return Ok(listing) };
    let mut random = PythonRandom::seed(seed);
    let mut members = vec![Vec::new(); listing.classes.len()];
    for (index, label) in images.labels().into_iter().enumerate() {
        if let Some(members) = members.get_mut(label) {
            members.push(index);
        }
    }
    let mut parts = ["train", "val", "test"].map(|name| (name, Images::default()));
    for (label, members) in members.iter().enumerate() {
        let chosen = split_in_three(label, members.len(), TRAIN_AND_VAL, &mut random)?;
        for ((_, part), chosen) in parts.iter_mut().zip(chosen) {
            let chosen = chosen.into_iter().filter_map(|at| members.get(at)).filter_map(|&at| images.get(at));
            chosen.for_each(|image| part.append(image, image.label));
        }
    }
    let splits = parts.map(|(name, images)| Split { name: name.to_owned(), images }).to_vec();
    Ok(DatasetListing { splits, ..listing })
}
