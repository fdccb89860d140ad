//! Few-shot subsets: `DatasetBase.generate_fewshot_dataset` of Dassl with `repeat=False`, as the data sets of CoOp
//! call it. One stream of random numbers serves the training images and then the validation images.

use super::PythonRandom;

/// Most validation images per class of a few-shot run.
const MAX_VAL_SHOTS: usize = 4;

/// The chosen images, as indices into the lists that were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FewShot {
    /// Training images: `shots` of each class.
    pub train: Vec<usize>,
    /// Validation images: `min(shots, 4)` of each class. Empty without a validation list.
    pub val: Vec<usize>,
}

/// Draws `shots` images of each class of `train`, then `min(shots, 4)` of each class of `val`, if there is one.
/// Both are given as the labels of their images in the order of the data set. `shots` of 0 takes everything.
pub fn few_shot(train: &[usize], val: Option<&[usize]>, shots: usize, seed: u64) -> FewShot {
    let mut random = PythonRandom::seed(seed);
    let train = few_shot_of_class_lists(train, shots, &mut random);
    let val = val.map(|labels| few_shot_of_class_lists(labels, shots.min(MAX_VAL_SHOTS), &mut random));
    FewShot { train, val: val.unwrap_or_default() }
}

/// Draws `shots` images of each class, the classes in the order of their first image. A class with fewer images is
/// taken whole and in order, and draws nothing. `shots` of 0 takes everything.
pub fn few_shot_of_class_lists(labels: &[usize], shots: usize, random: &mut PythonRandom) -> Vec<usize> {
    if shots == 0 {
        return (0..labels.len()).collect();
    }
    let mut chosen = Vec::new();
    for members in by_first_appearance(labels) {
        if members.len() < shots {
            chosen.extend(members);
        } else {
            chosen.extend(random.sample(members.len(), shots).into_iter().map(|at| members[at]));
        }
    }
    chosen
}

/// The indices of each class, the classes in the order of their first image.
pub(super) fn by_first_appearance(labels: &[usize]) -> Vec<Vec<usize>> {
    let mut place = std::collections::HashMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (index, &label) in labels.iter().enumerate() {
        let at = *place.entry(label).or_insert(members.len());
        if at == members.len() {
            members.push(Vec::new());
        }
        members[at].push(index);
    }
    members
}
