//! TeS: a classifier on images that is regularised by class names.
//!
//! Wang et al., "Improved Visual Fine-tuning with Natural Language Supervision", ICCV 2023. A projection of
//! the image features is compared with the texts of the classes. The resulting distribution softens the
//! labels of the vision classifier, so that classes with related names share some of them; the projection
//! itself learns from the hard labels.

use burn::tensor::{Int, Tensor, activation};

use crate::{cross_entropy, smooth_labels, soft_cross_entropy};

/// TeS's three numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TesSettings {
    /// `τ`, the temperature of the reference distribution; published: 0.03.
    pub tau: f64,
    /// `λ_v` in [0, 1], the share of the reference distribution in the soft labels; 0.1 for the published
    /// CIFAR-100 run.
    pub lambda_v: f64,
    /// `λ_t`, the factor of the text term; 0.3 for the published CIFAR-100 run.
    pub lambda_t: f64,
}

/// TeS's loss of a batch, with the quantities that it is made of.
#[derive(Debug, Clone)]
pub struct Tes {
    /// `mean(vision) + λ_t mean(text)`, `[1]`.
    pub loss: Tensor<1>,
    /// Cross-entropy of the vision classifier with the soft labels, `[batch]`.
    pub vision: Tensor<1>,
    /// Cross-entropy of the text classifier with the labels, without `λ_t`, `[batch]`.
    pub text: Tensor<1>,
    /// The soft labels, without gradient, `[batch, classes]`.
    pub soft_labels: Tensor<2>,
}

/// Logits of the fixed text classifier, `r = f · textᵀ / τ`; their softmax is the reference distribution
/// (Wang et al. 2023; `TeS_loss.py`).
///
/// # Shapes
///
/// - `projected`: projected image features `f`, rows of unit length, `[batch, embed_dim]`
/// - `text`: features of the class names, rows of unit length, `[classes, embed_dim]`
/// - result: `[batch, classes]`
///
/// # Panics
///
/// If the features differ in width.
pub fn reference_logits(projected: Tensor<2>, text: Tensor<2>, tau: f64) -> Tensor<2> {
    let ([_, image_width], [_, text_width]) = (projected.dims(), text.dims());
    assert_eq!(image_width, text_width, "projected image features and text features differ in width");
    projected.matmul(text.transpose()) / tau
}

/// Soft labels `y' = λ_v softmax(r) + (1 - λ_v) onehot(y)`, detached: neither the projection nor the texts
/// learn through them (Wang et al. 2023; `TeS_loss.py`).
///
/// # Shapes
///
/// - `reference`: `r` of [`reference_logits`], `[batch, classes]`
/// - `labels`: `[batch]`, each below `classes`
/// - result: `[batch, classes]`
pub fn tes_soft_labels(reference: Tensor<2>, labels: Tensor<1, Int>, lambda_v: f64) -> Tensor<2> {
    let reference = reference.detach();
    let ([_, classes], device, dtype) = (reference.dims(), reference.device(), reference.dtype());
    let one_hot = smooth_labels(labels, classes, 0.0, &device).cast(dtype);
    activation::softmax(reference, 1) * lambda_v + one_hot * (1.0 - lambda_v)
}

/// TeS's loss: `mean CE(z, y') + λ_t mean CE(r, y)` (Wang et al. 2023; `TeS_loss.py`).
///
/// The vision classifier learns from the first term only, the projection from the second only.
///
/// # Shapes
///
/// - `vision_logits`: `z`, `[batch, classes]`
/// - `projected`: rows of unit length, `[batch, embed_dim]`
/// - `text`: rows of unit length, `[classes, embed_dim]`
/// - `labels`: `y`, `[batch]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn tes(
    vision_logits: Tensor<2>,
    projected: Tensor<2>,
    text: Tensor<2>,
    labels: Tensor<1, Int>,
    settings: TesSettings,
) -> Tes {
    let reference = reference_logits(projected, text, settings.tau);
    let soft_labels = tes_soft_labels(reference.clone(), labels.clone(), settings.lambda_v);
    let vision = soft_cross_entropy(vision_logits, soft_labels.clone());
    let text = cross_entropy(reference, labels);
    let loss = vision.clone().mean() + text.clone().mean() * settings.lambda_t;
    Tes { loss, vision, text, soft_labels }
}
