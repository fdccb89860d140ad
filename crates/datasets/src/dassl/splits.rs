//! Cutting off validation and test images: `OxfordPets.split_trainval` and `DescribableTextures.read_and_split_data`
//! of CoOp. Counts are rounded half to even, as Python's `round` does.

use thiserror::Error;

use super::PythonRandom;
use super::few_shot::by_first_appearance;

/// Why a class cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum SplitError {
    /// A share of the class rounds to no image.
    #[error(
        "label {label} has {images} images, too few for every part of the split to have one: \
         leave the class out or add images"
    )]
    TooFew {
        /// The class.
        label: usize,
        /// Its images.
        images: usize,
    },
    /// Shares that leave nothing over.
    #[error("the shares {train} and {val} are not both above 0 and together below 1")]
    Shares {
        /// Share of the training images.
        train: f64,
        /// Share of the validation images.
        val: f64,
    },
}

/// Splits labelled images into training and validation, as indices `(train, val)`: of each class, in the order of
/// first appearance, the shuffled first `round(n * val)` validate. CoOp's `val` is 0.2.
///
/// # Errors
/// [`SplitError::TooFew`] for a class without a validation image, where the official function stops as well;
/// [`SplitError::Shares`].
pub fn split_train_val(
    labels: &[usize],
    val: f64,
    random: &mut PythonRandom,
) -> Result<(Vec<usize>, Vec<usize>), SplitError> {
    if !(val > 0.0 && val < 1.0) {
        return Err(SplitError::Shares { train: 1.0 - val, val });
    }
    let (mut train_set, mut val_set) = (Vec::new(), Vec::new());
    for mut members in by_first_appearance(labels) {
        let count = share(members.len(), val);
        if count == 0 {
            let label = members.first().and_then(|&first| labels.get(first)).copied().unwrap_or_default();
            return Err(SplitError::TooFew { label, images: members.len() });
        }
        random.shuffle(&mut members);
        train_set.extend(members.split_off(count.min(members.len())));
        val_set.extend(members);
    }
    Ok((train_set, val_set))
}

/// Splits the `images` images of a class into three, as indices `[train, val, test]`. CoOp's shares are 0.5 and 0.2,
/// and its classes come one after another from one stream.
///
/// # Errors
/// [`SplitError::TooFew`] where a part would be empty; [`SplitError::Shares`].
pub fn split_in_three(
    label: usize,
    images: usize,
    (train, val): (f64, f64),
    random: &mut PythonRandom,
) -> Result<[Vec<usize>; 3], SplitError> {
    if !(train > 0.0 && val > 0.0 && train + val < 1.0) {
        return Err(SplitError::Shares { train, val });
    }
    let mut members: Vec<usize> = (0..images).collect();
    random.shuffle(&mut members);
    let (train, val) = (share(images, train), share(images, val));
    if train == 0 || val == 0 || train + val >= images {
        return Err(SplitError::TooFew { label, images });
    }
    let test = members.split_off(train + val);
    let val = members.split_off(train);
    Ok([members, val, test])
}

/// Python's `round(count * share)`.
fn share(count: usize, share: f64) -> usize {
    (count as f64 * share).round_ties_even() as usize
}
