//! What a report shows of a test split beyond its accuracy: [`Details`], computed from logits alone, in f64 and in a
//! fixed order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::calibration::{BINS, binned, confidences};
use crate::metrics::{accuracy, calibration_error, hits, macro_f1, predictions};

/// Metrics of one split, in percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Share of images whose label is among the five largest logits; absent with five classes or fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5_accuracy: Option<f64>,
    /// Mean F1 score of the classes that occur ([`macro_f1`]).
    pub macro_f1: f64,
    /// Expected calibration error over 15 bins ([`calibration_error`]).
    pub calibration_error: f64,
    /// The same after temperature scaling; absent where no temperature was fitted on other images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_error_scaled: Option<f64>,
    /// The group with the smallest accuracy; absent for data without domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_group: Option<WorstGroup>,
    /// `[label, predicted class, images]` of each pair that occurs, sorted: the confusion matrix without its zeros.
    pub confusion: Vec<[usize; 3]>,
}

/// The group of images, of one domain and one class, with the smallest accuracy; of equal ones the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorstGroup {
    /// Its domain.
    pub domain: String,
    /// Its class.
    pub class: String,
    /// Its accuracy in percent.
    pub accuracy: f64,
    /// Number of its images.
    pub images: usize,
}

/// The temperature of a run, for its record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What logits are divided by.
    pub temperature: f64,
    /// The split that it was fitted on: `val` or `id`.
    pub split: String,
    /// Number of its images.
    pub images: usize,
}

/// Which domain each image of a split is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// The domains.
    pub names: Vec<String>,
    /// Index of the domain of each image `[images]`.
    pub of: Vec<usize>,
}

/// What [`details`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// Logits, row by row, `[images, classes]`.
    pub logits: &'a [f32],
    /// Labels `[images]`.
    pub labels: &'a [usize],
    /// Names of the classes.
    pub class_names: &'a [String],
    /// Domains, where there are any.
    pub groups: Option<&'a Groups>,
}

/// Details of a split; `temperature` has been fitted on other images.
pub fn details(scored: Scored<'_>, temperature: Option<f64>) -> Details {
    let Scored { logits, labels, class_names, groups } = scored;
    let classes = class_names.len();
    let predicted = predictions(logits, classes);
    let error = |temperature| {
        100.0 * calibration_error(&binned(&confidences(logits, labels, classes, temperature), BINS))
    };
    let mut confusion: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    labels.iter().zip(&predicted).for_each(|(&label, &to)| *confusion.entry((label, to)).or_default() += 1);
    Details {
        top5_accuracy: (classes > 5).then(|| accuracy(&hits(logits, labels, classes, 5))),
        macro_f1: macro_f1(&predicted, labels),
        calibration_error: error(1.0),
        calibration_error_scaled: temperature.map(error),
        worst_group: groups.and_then(|groups| worst_group(&predicted, labels, class_names, groups)),
        confusion: confusion.into_iter().map(|((label, to), images)| [label, to, images]).collect(),
    }
}

fn worst_group(
    predicted: &[usize],
    labels: &[usize],
    class_names: &[String],
    groups: &Groups,
) -> Option<WorstGroup> {
    let mut counts: BTreeMap<(usize, usize), (usize, usize)> = BTreeMap::new();
    for ((&to, &label), &domain) in predicted.iter().zip(labels).zip(&groups.of) {
        let (right, images) = counts.entry((domain, label)).or_default();
        *right += usize::from(to == label);
        *images += 1;
    }
    let share = |(right, images): (usize, usize)| right as f64 / images as f64;
    let worst = counts.into_iter().min_by(|a, b| share(a.1).total_cmp(&share(b.1)))?;
    let ((domain, class), (right, images)) = worst;
    Some(WorstGroup {
        domain: groups.names.get(domain)?.clone(),
        class: class_names.get(class)?.clone(),
        accuracy: 100.0 * share((right, images)),
        images,
    })
}

impl Details {
    /// Names and values for the record, in a fixed order.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, f64)> {
        [
            ("top5_accuracy", self.top5_accuracy),
            ("macro_f1", Some(self.macro_f1)),
            ("calibration_error", Some(self.calibration_error)),
            ("calibration_error_scaled", self.calibration_error_scaled),
            ("worst_group_accuracy", self.worst_group.as_ref().map(|group| group.accuracy)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("c{class}")).collect()
    }

    #[test]
    fn details_by_hand() {
        // Predictions 0, 1, 0, 0; the last two are wrong.
        let logits = [9.0, 0.0, 0.0, 9.0, 9.0, 0.0, 9.0, 0.0];
        let groups = Groups { names: vec!["photo".into(), "sketch".into()], of: vec![0, 0, 0, 1] };
        let (class_names, labels) = (names(2), [0, 1, 1, 1]);
        let scored =
            Scored { logits: &logits, labels: &labels, class_names: &class_names, groups: Some(&groups) };
        let found = details(scored, Some(1e9));
        assert_eq!(found.confusion, [[0, 0, 1], [1, 0, 2], [1, 1, 1]]);
        assert_eq!(found.top5_accuracy, None, "of two classes");
        assert_eq!(found.macro_f1, 50.0);
        // Always sure, half right; at an endless temperature never sure, half right.
        assert!((found.calibration_error - 50.0).abs() < 0.1, "{}", found.calibration_error);
        assert!(found.calibration_error_scaled.unwrap() < 1e-6);
        let worst = WorstGroup { domain: "sketch".into(), class: "c1".into(), accuracy: 0.0, images: 1 };
        assert_eq!(found.worst_group, Some(worst));
        let recorded: Vec<&str> = found.values().map(|(name, _)| name).collect();
        assert_eq!(
            recorded,
            ["macro_f1", "calibration_error", "calibration_error_scaled", "worst_group_accuracy"]
        );
    }

    #[test]
    fn nothing_to_score_is_no_accident() {
        let groups = Groups { names: Vec::new(), of: Vec::new() };
        let scored = Scored { logits: &[], labels: &[], class_names: &names(9), groups: Some(&groups) };
        let found = details(scored, Some(2.0));
        assert_eq!((found.top5_accuracy, found.macro_f1, found.calibration_error), (Some(0.0), 0.0, 0.0));
        assert_eq!((found.worst_group, found.confusion), (None, Vec::new()));
    }

    proptest! {
        #[test]
        fn details_are_shares_and_count_every_image(
            rows in proptest::collection::vec((proptest::collection::vec(-9f32..9.0, 7), 0usize..7, 0usize..2), 1..30),
            temperature in 0.1f64..10.0,
        ) {
            let logits: Vec<f32> = rows.iter().flat_map(|(row, ..)| row.clone()).collect();
            let labels: Vec<usize> = rows.iter().map(|row| row.1).collect();
            let groups = Groups { names: names(2), of: rows.iter().map(|row| row.2).collect() };
            let class_names = names(7);
            let scored = Scored { logits: &logits, labels: &labels, class_names: &class_names, groups: Some(&groups) };
            let found = details(scored, Some(temperature));
            prop_assert!(found.values().all(|(_, value)| (0.0..=100.0).contains(&value)));
            prop_assert_eq!(found.confusion.iter().map(|cell| cell[2]).sum::<usize>(), rows.len());
            let right = found.confusion.iter().filter(|cell| cell[0] == cell[1]).map(|cell| cell[2]).sum::<usize>();
            let top1 = accuracy(&hits(&logits, &labels, 7, 1));
            prop_assert!((100.0 * right as f64 / rows.len() as f64 - top1).abs() < 1e-9);
            prop_assert!(found.top5_accuracy.unwrap() >= top1);
            prop_assert!(found.worst_group.as_ref().unwrap().accuracy <= top1 + 1e-9);
            // Stored and read again, nothing is lost.
            let text = serde_json::to_string(&found).unwrap();
            prop_assert_eq!(serde_json::from_str::<Details>(&text).unwrap(), found);
        }
    }
}
