//! How far probabilities can be believed, and one number that makes them more believable: the temperature of Guo et al.,
//! "On Calibration of Modern Neural Networks", ICML 2017, section 4.2. Everything is in f64 and in a fixed order.

use crate::evaluate::argmax;
use crate::metrics::ConfidenceBin;

/// Bins of the expected calibration error in reports (Guo et al. 2017, section 5).
pub const BINS: usize = 15;

/// Temperatures that are looked at: images that are all right, or all wrong, would ask for 0 or infinity.
const TEMPERATURES: (f64, f64) = (0.01, 100.0);
/// Most steps of the search; the third of them that halves would do alone.
const STEPS: usize = 100;

/// The probability of the predicted class of each row of `logits / temperature`, `[images, classes]`, and whether it is
/// the label; of equal logits the first is predicted.
pub fn confidences(logits: &[f32], labels: &[usize], classes: usize, temperature: f64) -> Vec<(f64, bool)> {
    let confidence = |(row, &label): (&[f32], &usize)| {
        let predicted = argmax(row);
        let largest = row.get(predicted).copied().map_or(0.0, f64::from);
        let others: f64 = row.iter().map(|&logit| ((f64::from(logit) - largest) / temperature).exp()).sum();
        (1.0 / others, predicted == label)
    };
    logits.chunks_exact(classes.max(1)).zip(labels).map(confidence).collect()
}

/// Sorts predictions by confidence into `bins` intervals of [0, 1] of equal width, open below and closed above.
pub fn binned(confidences: &[(f64, bool)], bins: usize) -> Vec<ConfidenceBin> {
    let mut sums = vec![(0usize, 0.0f64, 0usize); bins];
    for &(confidence, right) in confidences {
        let above = |bin: &usize| confidence > *bin as f64 / bins as f64;
        let Some(bin) = (0..bins).rev().find(above) else { continue };
        let (images, total, hits) = &mut sums[bin];
        *images += 1;
        *total += confidence;
        *hits += usize::from(right);
    }
    let mean = |(images, total, hits): (usize, f64, usize)| match images {
        0 => ConfidenceBin::default(),
        _ => {
            ConfidenceBin { images, confidence: total / images as f64, accuracy: hits as f64 / images as f64 }
        }
    };
    sums.into_iter().map(mean).collect()
}

/// The temperature with the smallest cross-entropy of `logits / temperature`, `[images, classes]`, within
/// [0.01, 100]; `None` without images. A label that is no class is left out.
///
/// The cross-entropy is convex in `1 / temperature`: Newton's steps on its slope, kept between two inverse temperatures
/// on both sides of the smallest value.
pub fn fitted_temperature(logits: &[f32], labels: &[usize], classes: usize) -> Option<f64> {
    let rows: Vec<(&[f32], usize)> = logits
        .chunks_exact(classes.max(1))
        .zip(labels.iter().copied())
        .filter(|&(_, label)| label < classes)
        .collect();
    if rows.is_empty() {
        return None;
    }
    let (mut low, mut high) = (1.0 / TEMPERATURES.1, 1.0 / TEMPERATURES.0);
    let mut inverse = 1.0f64;
    for step in 0..STEPS {
        let (slope, curvature) = slope_and_curvature(&rows, inverse);
        if slope == 0.0 {
            break;
        }
        if slope > 0.0 {
            high = inverse;
        } else {
            low = inverse;
        }
        let newton = inverse - slope / curvature;
        // Where all images are right the slope falls off exponentially, and Newton's steps alone are too short.
        let usable = newton > low && newton < high && step % 3 < 2;
        let next = if usable { newton } else { (low * high).sqrt() };
        if (next - inverse).abs() <= 1e-12 * inverse {
            break;
        }
        inverse = next;
    }
    Some(1.0 / inverse)
}

/// First and second derivative by the inverse temperature `b` of the mean of `-log softmax(b logits)[label]`: the mean of
/// `E[z] - z_label` and of `Var[z]` under the softmax.
fn slope_and_curvature(rows: &[(&[f32], usize)], inverse: f64) -> (f64, f64) {
    let (mut slope, mut curvature) = (0.0, 0.0);
    for &(row, label) in rows {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        for &logit in row {
            let below = f64::from(logit) - f64::from(largest);
            let weight = (inverse * below).exp();
            sum += weight;
            first += weight * below;
            second += weight * below * below;
        }
        let mean = first / sum;
        slope += mean - (f64::from(row[label]) - f64::from(largest));
        curvature += second / sum - mean * mean;
    }
    (slope / rows.len() as f64, curvature / rows.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn confidences_by_hand() {
        // Logits ln 3 and 0: 3/4; halved, sqrt 3 to 1.
        let logits = [3f32.ln(), 0.0, 0.0, 0.0];
        let plain = confidences(&logits, &[0, 1], 2, 1.0);
        assert!((plain[0].0 - 0.75).abs() < 1e-7 && plain[0].1);
        assert_eq!(plain[1], (0.5, false), "of equal logits the first is predicted");
        let halved = confidences(&logits, &[0, 1], 2, 2.0)[0].0;
        assert!((halved - 3f64.sqrt() / (3f64.sqrt() + 1.0)).abs() < 1e-7);
    }

    #[test]
    fn the_temperature_by_hand() {
        // Three of four right at logits 2 to 0: the best confidence is 3/4, so 2 / T = ln 3.
        let logits = [2.0, 0.0, 2.0, 0.0, 2.0, 0.0, 2.0, 0.0];
        let fitted = fitted_temperature(&logits, &[0, 0, 0, 1], 2).unwrap();
        assert!((fitted - 2.0 / 3f64.ln()).abs() < 1e-9, "{fitted}");
        assert_eq!(fitted_temperature(&[], &[], 2), None);
        assert_eq!(fitted_temperature(&logits[..2], &[9], 2), None);
    }

    #[test]
    fn temperatures_stay_within_bounds() {
        let logits = [2.0, 0.0];
        let right = fitted_temperature(&logits, &[0], 2).unwrap();
        let wrong = fitted_temperature(&logits, &[1], 2).unwrap();
        assert!((right - 0.01).abs() < 1e-3 && (wrong - 100.0).abs() < 1.0, "{right} {wrong}");
        assert!(fitted_temperature(&[1.0, 1.0], &[0], 2).unwrap().is_finite(), "no slope at all");
    }

    fn cross_entropy(logits: &[f32], labels: &[usize], classes: usize, temperature: f64) -> f64 {
        let of = |(row, &label): (&[f32], &usize)| {
            let scaled: Vec<f64> = row.iter().map(|&logit| f64::from(logit) / temperature).collect();
            let largest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            largest + scaled.iter().map(|z| (z - largest).exp()).sum::<f64>().ln() - scaled[label]
        };
        logits.chunks_exact(classes).zip(labels).map(of).sum()
    }

    proptest! {
        #[test]
        fn no_other_temperature_has_a_smaller_cross_entropy(
            rows in proptest::collection::vec((proptest::collection::vec(-9f32..9.0, 3), 0usize..3), 1..20),
            other in 0.02f64..50.0,
        ) {
            let logits: Vec<f32> = rows.iter().flat_map(|(row, _)| row.clone()).collect();
            let labels: Vec<usize> = rows.iter().map(|(_, label)| *label).collect();
            let fitted = fitted_temperature(&logits, &labels, 3).unwrap();
            let (best, at_other) =
                (cross_entropy(&logits, &labels, 3, fitted), cross_entropy(&logits, &labels, 3, other));
            prop_assert!(best <= at_other + 1e-6 * at_other.abs().max(1.0), "{fitted}: {best}, {other}: {at_other}");
        }

        #[test]
        fn a_temperature_changes_no_prediction(
            row in proptest::collection::vec(-9f32..9.0, 4), label in 0usize..4, temperature in 0.1f64..10.0,
        ) {
            let (plain, scaled) =
                (confidences(&row, &[label], 4, 1.0)[0], confidences(&row, &[label], 4, temperature)[0]);
            prop_assert_eq!(plain.1, scaled.1);
            prop_assert!((0.25..=1.0).contains(&scaled.0));
            let ordered = if temperature > 1.0 { scaled.0 <= plain.0 } else { scaled.0 >= plain.0 };
            prop_assert!(ordered, "{scaled:?} of {plain:?}");
        }
    }
}
