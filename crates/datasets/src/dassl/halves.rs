//! Base and new classes: `OxfordPets.subsample_classes` of CoOp.

use std::collections::BTreeSet;

/// The labels of each half, sorted: of the labels that occur in `train` the first `ceil(n / 2)` are base, the rest are
/// new. A label's place in its half is its new label.
///
/// ```
/// assert_eq!(regulus_datasets::dassl::halves(&[4, 0, 9, 0]), (vec![0, 4], vec![9]));
/// ```
pub fn halves(train: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let labels: BTreeSet<usize> = train.iter().copied().collect();
    let mut base: Vec<usize> = labels.into_iter().collect();
    let new = base.split_off(base.len().div_ceil(2));
    (base, new)
}
