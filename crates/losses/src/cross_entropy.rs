//! Cross-entropy with class indices or with target distributions.

use burn::tensor::{Device, Int, Tensor};
use regulus_kernels::log_softmax;

/// Cross-entropy with class indices: `-log softmax(logits)_label`.
///
/// # Shapes
///
/// - `logits`: `[batch, classes]`
/// - `labels`: `[batch]`, each below `classes`
/// - result: `[batch]`
///
/// # Panics
///
/// If the shapes do not agree; a label out of range panics on CPU backends.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let ([batch, _], [count]) = (logits.dims(), labels.dims());
    assert_eq!(batch, count, "cross_entropy: logits of {batch} samples, {count} labels");
    log_softmax(logits).gather(1, labels.unsqueeze_dim(1)).neg().squeeze_dim(1)
}

/// Cross-entropy with a target distribution per sample: `-Σ_c targets_c log softmax(logits)_c`.
///
/// # Shapes
///
/// - `logits`, `targets`: `[batch, classes]`
/// - result: `[batch]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn soft_cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    assert_eq!(logits.dims(), targets.dims(), "cross-entropy of logits and targets of different shapes");
    (targets * log_softmax(logits)).sum_dim(1).neg().squeeze_dim(1)
}

/// Target distributions of label smoothing: `1 - epsilon` on the label, and `epsilon` spread evenly over all
/// classes, the label included (Szegedy et al. 2016, section 7; `label_smoothing` of PyTorch's
/// `CrossEntropyLoss`). With `epsilon` 0 they are one-hot.
///
/// # Shapes
///
/// - `labels`: `[batch]`, each below `classes`
/// - result: `[batch, classes]` on `device`
pub fn smooth_labels(labels: Tensor<1, Int>, classes: usize, epsilon: f64, device: &Device) -> Tensor<2> {
    let labels = labels.to_device(device).unsqueeze_dim::<2>(1);
    let classes_in_order = Tensor::<1, Int>::arange(0..classes as i64, device).unsqueeze::<2>();
    let one_hot = labels.equal(classes_in_order).float();
    one_hot * (1.0 - epsilon) + epsilon / classes as f64
}
