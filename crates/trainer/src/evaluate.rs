//! Evaluation: logits of a test split, and the scores that reports show.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::batches::ImageSet;
use crate::method::Method;
use crate::metrics::{AbsentClasses, mean_class_accuracy};
use crate::parameters::Parameters;
use crate::zero_shot::FROZEN_CHUNK;

/// Scores of one split, in percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of images whose largest logit is the label's; of equal logits the first counts.
    pub accuracy: f64,
    /// Mean over the classes that occur of the accuracy within the class.
    pub mean_class_accuracy: f64,
    /// Mean over all classes, which a class without images makes undefined: NaN in the papers' repositories
    /// ([`AbsentClasses::Undefined`]), `null` in files.
    #[serde(default)]
    pub mean_class_accuracy_official: Option<f64>,
    /// Accuracy within each class; `None` for a class without images.
    pub per_class: Vec<Option<f64>>,
}

impl Scores {
    /// Whether a class has no image, so that the official mean over classes is undefined.
    pub fn lacks_a_class(&self) -> bool {
        self.per_class.iter().any(Option::is_none)
    }
}

/// Index of the largest value; the first of equals, 0 for an empty row.
pub fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best
}

/// Logits of every image, row by row `[images, classes]`, in the order of the set.
pub fn logits_of(method: &dyn Method, parameters: &Parameters, images: &ImageSet<'_>) -> Vec<f32> {
    let predict = method.predictor(parameters);
    let rows = images.chunks(FROZEN_CHUNK).flat_map(|pixels| {
        let logits: Tensor<2> = predict(pixels);
        logits.into_data_as::<f32>().iter::<f32>().collect::<Vec<f32>>()
    });
    rows.collect()
}

/// Scores of logits `[images, classes]` against labels.
pub fn score(logits: &[f32], labels: &[usize], classes: usize) -> Scores {
    let mut hits = vec![0usize; classes];
    let mut counts = vec![0usize; classes];
    for (row, &label) in logits.chunks_exact(classes.max(1)).zip(labels) {
        if label < classes {
            counts[label] += 1;
            hits[label] += usize::from(argmax(row) == label);
        }
    }
    let percent = |hit: usize, count: usize| 100.0 * hit as f64 / count.max(1) as f64;
    let per_class: Vec<Option<f64>> =
        hits.iter().zip(&counts).map(|(&hit, &count)| (count > 0).then(|| percent(hit, count))).collect();
    let seen: Vec<f64> = per_class.iter().flatten().copied().collect();
    let official = mean_class_accuracy(&per_class, AbsentClasses::Undefined);
    Scores {
        accuracy: percent(hits.iter().sum(), counts.iter().sum()),
        mean_class_accuracy: seen.iter().sum::<f64>() / seen.len().max(1) as f64,
        mean_class_accuracy_official: (!official.is_nan()).then_some(official),
        per_class,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        let logits = [2.0, 1.0, 0.0, 0.0, 3.0, 0.0, 1.0, 1.0, 0.0];
        let scores = score(&logits, &[0, 0, 1], 3);
        // Row 0 hits, row 1 says class 1, row 2 ties between 0 and 1: the first counts, a miss.
        assert!((scores.accuracy - 100.0 / 3.0).abs() < 1e-9);
        assert_eq!(scores.per_class, vec![Some(50.0), Some(0.0), None]);
        assert_eq!(scores.mean_class_accuracy, 25.0);
        assert_eq!(scores.mean_class_accuracy_official, None, "class 2 has no image");
        assert_eq!(score(&logits[..6], &[0, 1], 2).mean_class_accuracy_official, Some(50.0));
    }

    #[test]
    fn nothing_to_score_is_zero_not_nan() {
        let scores = score(&[], &[], 2);
        assert_eq!((scores.accuracy, scores.mean_class_accuracy), (0.0, 0.0));
    }
}
