//! The held-out test split of sets that have no in-distribution test images.
//!
//! It is the same for every seed of an experiment, so that all runs on a folder are measured on the
//! same images; it depends on nothing but the class and its files.

use regulus_images::random::Stream;
use sha2::{Digest, Sha256};

use super::listing::ListedFile;

/// Keys every hold-out. Not a seed of experiments: another value would change which images test.
const HOLD_OUT_SEED: u64 = 0;

/// Moves a share of the files of every class out of `train` and returns it, both sorted as `train`
/// was. `classes` are the raw names in label order; `train` must be sorted.
///
/// Of `n` files the nearest whole number to `share * n` is held out, at least 1 and at most `n - 1`;
/// a class with a single file keeps it.
pub(super) fn hold_out(train: &mut Vec<ListedFile>, classes: &[&str], share: f64) -> Vec<ListedFile> {
    if share == 0.0 {
        return Vec::new();
    }
    let labels: Vec<usize> = train.iter().map(|file| file.label).collect();
    let mut held = held_out(&labels, |index| train[index].key(), classes, share).into_iter();
    train.extract_if(.., |_| held.next() == Some(true)).collect()
}

/// Which of the images with these labels are held out. `key` gives the relative path of an image, with `/` between its
/// parts; the images must be sorted by it.
pub(crate) fn held_out(
    labels: &[usize],
    key: impl Fn(usize) -> Vec<u8>,
    classes: &[&str],
    share: f64,
) -> Vec<bool> {
    let mut members_of = vec![Vec::new(); classes.len()];
    for (index, &label) in labels.iter().enumerate() {
        if let Some(members) = members_of.get_mut(label) {
            members.push(index);
        }
    }
    let mut held = vec![false; labels.len()];
    for (class, members) in classes.iter().zip(&members_of) {
        let count =
            ((share * members.len() as f64).round() as usize).max(1).min(members.len().saturating_sub(1));
        let key = stream_key(class, members.iter().map(|&index| key(index)));
        let order = Stream::new(HOLD_OUT_SEED, "hold out", 0, key).permutation(members.len());
        order.iter().take(count).for_each(|&member| held[members[member]] = true);
    }
    held
}

/// The first 8 bytes of the sha256 over the class and the relative paths of its files.
fn stream_key(class: &str, files: impl Iterator<Item = Vec<u8>>) -> u64 {
    let mut hash = Sha256::new();
    hash.update(class.as_bytes());
    for file in files {
        hash.update([0]);
        hash.update(file);
    }
    hash.finalize().iter().take(8).fold(0, |key, &byte| key << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(counts: &[usize]) -> Vec<ListedFile> {
        let of_class = |(label, &count): (usize, &usize)| {
            (0..count).map(move |i| ListedFile {
                path: format!("/anywhere/{label}/{i:03}.png").into(),
                relative: format!("train/{label}/{i:03}.png").into(),
                bytes: 1,
                label,
            })
        };
        counts.iter().enumerate().flat_map(of_class).collect()
    }

    fn held(counts: &[usize], share: f64) -> (Vec<ListedFile>, Vec<ListedFile>) {
        let mut train = files(counts);
        let held = hold_out(&mut train, &["0", "1", "2", "3"], share);
        (train, held)
    }

    #[test]
    fn every_class_gives_its_share_and_keeps_an_image() {
        let (train, held) = held(&[40, 4, 2, 1], 0.1);
        let count = |files: &[ListedFile], label| files.iter().filter(|file| file.label == label).count();
        let counts: Vec<_> = (0..4).map(|label| (count(&train, label), count(&held, label))).collect();
        assert_eq!(counts, [(36, 4), (3, 1), (1, 1), (1, 0)]);
        assert!(train.is_sorted_by(|a, b| a.relative < b.relative));
        assert!(held.is_sorted_by(|a, b| a.relative < b.relative));
    }

    #[test]
    fn a_share_near_one_keeps_an_image_and_a_share_of_zero_holds_none() {
        let (train, near_one) = held(&[10], 0.999);
        assert_eq!((train.len(), near_one.len()), (1, 9));
        assert!(held(&[10], 0.0).1.is_empty());
    }

    #[test]
    fn the_choice_is_pinned() {
        let (_, held) = held(&[30], 0.1);
        let names: Vec<_> = held.iter().map(|file| file.relative.display().to_string()).collect();
        assert_eq!(names, ["train/0/011.png", "train/0/023.png", "train/0/028.png"]);
    }

    #[test]
    fn other_classes_do_not_change_the_choice() {
        let first = |(_, held): (_, Vec<ListedFile>)| -> Vec<_> {
            held.into_iter().filter(|file| file.label == 0).collect()
        };
        assert_eq!(first(held(&[30], 0.1)), first(held(&[30, 50], 0.1)));
    }
}
