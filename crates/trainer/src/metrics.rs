//! Metrics of classification as the papers' repositories compute them, as pure functions of predictions and
//! labels. All shares but those of calibration are percentages.

use crate::evaluate::argmax;

/// What a mean over classes makes of a class without images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbsentClasses {
    /// Its share is 0/0 and so is the mean: not a number (`utils.py` of TeS).
    Undefined,
    /// The mean is over the others.
    LeftOut,
}

/// The most probable class of each row of `logits`, `[images, classes]`; of equal ones the first.
pub fn predictions(logits: &[f32], classes: usize) -> Vec<usize> {
    logits.chunks_exact(classes.max(1)).map(argmax).collect()
}

/// Whether the label is among the `k` largest logits of its row `[images, classes]`; of equal ones the first count.
/// A label that is no class is a miss.
pub fn hits(logits: &[f32], labels: &[usize], classes: usize, k: usize) -> Vec<bool> {
    let hit = |(row, &label): (&[f32], &usize)| {
        row.get(label).is_some_and(|own| {
            let ahead = |(class, other): (usize, &f32)| other > own || (other == own && class < label);
            row.iter().enumerate().filter(|&other| ahead(other)).count() < k
        })
    };
    logits.chunks_exact(classes.max(1)).zip(labels).map(hit).collect()
}

/// Share of hits; 0 without images.
pub fn accuracy(hits: &[bool]) -> f64 {
    percent(hits.iter().filter(|hit| **hit).count(), hits.len().max(1))
}

/// Share of hits within each class; `None` for a class without images (`perclass_accuracy` of Dassl's evaluator).
pub fn class_accuracies(hits: &[bool], labels: &[usize], classes: usize) -> Vec<Option<f64>> {
    let mut counts = vec![(0usize, 0usize); classes];
    for (&hit, &label) in hits.iter().zip(labels) {
        if let Some((right, all)) = counts.get_mut(label) {
            *right += usize::from(hit);
            *all += 1;
        }
    }
    counts.into_iter().map(|(right, all)| (all > 0).then(|| percent(right, all))).collect()
}

/// Mean over the classes of [`class_accuracies`]; not a number if it is over none.
pub fn mean_class_accuracy(accuracies: &[Option<f64>], absent: AbsentClasses) -> f64 {
    let values: Vec<f64> = match absent {
        AbsentClasses::Undefined => accuracies.iter().map(|share| share.unwrap_or(f64::NAN)).collect(),
        AbsentClasses::LeftOut => accuracies.iter().copied().flatten().collect(),
    };
    values.iter().sum::<f64>() / values.len() as f64
}

/// The F1 score of each class that occurs among the labels, averaged (`f1_score` of scikit-learn with
/// `average="macro"` and `labels=np.unique(y_true)`, as in Dassl's evaluator); 0 without images.
pub fn macro_f1(predictions: &[usize], labels: &[usize]) -> f64 {
    let mut occurring = labels.to_vec();
    occurring.sort_unstable();
    occurring.dedup();
    let f1 = |&class: &usize| {
        let predicted = predictions.iter().filter(|&&other| other == class).count();
        let labelled = labels.iter().filter(|&&other| other == class).count();
        let both = predictions.iter().zip(labels).filter(|&(a, b)| (*a, *b) == (class, class)).count();
        percent(2 * both, predicted + labelled)
    };
    occurring.iter().map(f1).sum::<f64>() / occurring.len().max(1) as f64
}

/// How often each class was taken for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    /// The classes that occur among labels or predictions, sorted.
    pub classes: Vec<usize>,
    /// A row for each of them as a label, a column for each as a prediction.
    pub counts: Vec<Vec<usize>>,
}

impl ConfusionMatrix {
    /// Counts predictions by label.
    pub fn of(predictions: &[usize], labels: &[usize]) -> Self {
        let mut classes = [predictions, labels].concat();
        classes.sort_unstable();
        classes.dedup();
        let mut counts = vec![vec![0; classes.len()]; classes.len()];
        for (prediction, label) in predictions.iter().zip(labels) {
            if let (Ok(column), Ok(row)) = (classes.binary_search(prediction), classes.binary_search(label)) {
                counts[row][column] += 1;
            }
        }
        Self { classes, counts }
    }

    /// Each row as shares of its sum, in [0, 1]; a class that is no label has zeros.
    pub fn row_shares(&self) -> Vec<Vec<f64>> {
        let shares = |row: &Vec<usize>| {
            let sum = row.iter().sum::<usize>().max(1) as f64;
            row.iter().map(|&count| count as f64 / sum).collect()
        };
        self.counts.iter().map(shares).collect()
    }
}

/// The predictions of similar confidence.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ConfidenceBin {
    /// Number of images.
    pub images: usize,
    /// Mean probability of the predicted class, in [0, 1]; 0 without images.
    pub confidence: f64,
    /// Share of right predictions, in [0, 1]; 0 without images.
    pub accuracy: f64,
}

/// The expected calibration error, in [0, 1]: the mean over all images of `|accuracy - confidence|` of their bin (Guo
/// et al. 2017, equation 3); 0 without images.
pub fn calibration_error(bins: &[ConfidenceBin]) -> f64 {
    let images: usize = bins.iter().map(|bin| bin.images).sum();
    let gaps = bins.iter().map(|bin| bin.images as f64 * (bin.accuracy - bin.confidence).abs());
    gaps.sum::<f64>() / images.max(1) as f64
}

/// Mean of a value over seeds, as Dassl's `parse_test_res.py` prints it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeedSummary {
    /// The mean.
    pub mean: f64,
    /// Population standard deviation (divided by `n`).
    pub deviation: f64,
    /// `1.96 deviation / sqrt(n)`.
    pub half_width: f64,
}

impl SeedSummary {
    /// One value per seed. For verdicts see [`PairedDifference`](crate::comparison::PairedDifference), which does
    /// not underestimate the spread of a few seeds.
    pub fn of(values: &[f64]) -> Self {
        let (mean, count) = (crate::comparison::mean(values), values.len().max(1) as f64);
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        Self { mean, deviation, half_width: 1.96 * deviation / count.sqrt() }
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::{binned, confidences};

    /// Three classes, the last of which has no image.
    const LABELS: [usize; 4] = [0, 0, 1, 1];
    const LOGITS: [f32; 12] = [2.0, 1.0, 0.0, 0.0, 3.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 2.0];

    #[test]
    fn of_equal_logits_the_first_counts() {
        assert_eq!(predictions(&LOGITS, 3), [0, 1, 0, 2]);
        assert_eq!(hits(&LOGITS, &LABELS, 3, 1), [true, false, false, false]);
        assert_eq!(hits(&LOGITS, &LABELS, 3, 2), [true, true, true, true]);
        assert_eq!(hits(&LOGITS, &[9; 4], 3, 3), [false; 4]);
    }

    #[test]
    fn an_absent_class_makes_the_official_mean_undefined() {
        let accuracies = class_accuracies(&hits(&LOGITS, &LABELS, 3, 1), &LABELS, 3);
        assert_eq!(accuracies, [Some(50.0), Some(0.0), None]);
        assert_eq!(mean_class_accuracy(&accuracies, AbsentClasses::LeftOut), 25.0);
        assert!(mean_class_accuracy(&accuracies, AbsentClasses::Undefined).is_nan());
        assert_eq!(accuracy(&hits(&LOGITS, &LABELS, 3, 1)), 25.0);
    }

    #[test]
    fn f1_averages_over_true_labels_only() {
        // Class 0: one hit of two predictions and two labels, F1 1/2. Class 1: none. Class 2 is never a label.
        assert_eq!(macro_f1(&predictions(&LOGITS, 3), &LABELS), 25.0);
        assert_eq!(macro_f1(&[], &[]), 0.0);
    }

    #[test]
    fn the_confusion_matrix_knows_only_classes_that_occur() {
        let matrix = ConfusionMatrix::of(&[0, 4, 0], &[0, 0, 2]);
        assert_eq!(matrix.classes, [0, 2, 4]);
        assert_eq!(matrix.counts, [[1, 0, 1], [1, 0, 0], [0, 0, 0]]);
        assert_eq!(matrix.row_shares(), [[0.5, 0.0, 0.5], [1.0, 0.0, 0.0], [0.0; 3]]);
    }

    #[test]
    fn a_bin_is_closed_above() {
        // Probabilities 1/2 and 1/2: in the lower of two bins.
        let bins = binned(&confidences(&[0.0, 0.0, 9.0, -9.0], &[0, 1], 2, 1.0), 2);
        assert_eq!((bins[0].images, bins[0].confidence, bins[0].accuracy), (1, 0.5, 1.0));
        assert_eq!((bins[1].images, bins[1].accuracy), (1, 0.0));
        assert!((calibration_error(&bins) - 0.75).abs() < 1e-6);
        assert_eq!(calibration_error(&[]), 0.0);
    }

    #[test]
    fn seeds_by_hand() {
        let summary = SeedSummary::of(&[1.0, 3.0]);
        assert_eq!((summary.mean, summary.deviation), (2.0, 1.0));
        assert!((summary.half_width - 1.96 / 2f64.sqrt()).abs() < 1e-12);
    }
}
