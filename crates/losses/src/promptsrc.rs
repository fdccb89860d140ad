//! PromptSRC: prompts that may not leave the frozen model behind.
//!
//! Khattak et al., "Self-regulating Prompts: Foundational Model Adaptation without Forgetting", ICCV 2023.
//! Section 3.2.1 ties the prompted model to the frozen one in three places: text features, image features
//! and logits. The aggregation over epochs (section 3.2.2) is [`RunningAggregate`](crate::RunningAggregate).

use burn::tensor::{Int, Tensor};

use crate::{cross_entropy, kl_divergence};

/// What a model makes of a batch.
#[derive(Debug, Clone)]
pub struct BatchOutputs {
    /// Features of the images, rows of unit length, `[batch, embed_dim]`.
    pub image: Tensor<2>,
    /// Features of the classes' texts, rows of unit length, `[classes, embed_dim]`.
    pub text: Tensor<2>,
    /// `scale · image · textᵀ`, `[batch, classes]`.
    pub logits: Tensor<2>,
}

/// The factors of PromptSRC's three terms. A factor of 0 switches its term off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PromptSrcWeights {
    /// Of the text features' agreement; published: 25.
    pub text: f64,
    /// Of the image features' agreement; published: 10.
    pub image: f64,
    /// Of the logits' agreement; published: 1.
    pub logits: f64,
}

impl Default for PromptSrcWeights {
    /// The published factors: 25, 10 and 1.
    fn default() -> Self {
        Self { text: 25.0, image: 10.0, logits: 1.0 }
    }
}

/// PromptSRC's loss of a batch, with the terms that it is made of; each is `[1]` and without its factor.
#[derive(Debug, Clone)]
pub struct PromptSrc {
    /// The cross-entropy plus the three terms, each times its factor.
    pub loss: Tensor<1>,
    /// Mean cross-entropy of the prompted logits with the labels.
    pub cross_entropy: Tensor<1>,
    /// [`feature_agreement`] of the text features.
    pub text: Tensor<1>,
    /// [`feature_agreement`] of the image features.
    pub image: Tensor<1>,
    /// [`logit_agreement`].
    pub logits: Tensor<1>,
}

/// `mean |features - frozen|` over all elements, classes or images and dimensions alike (Khattak et al. 2023,
/// section 3.2.1; `trainers/promptsrc.py`). The frozen features are detached; where both are equal the
/// gradient is zero.
///
/// # Shapes
///
/// - `features`, `frozen`: rows of unit length, `[rows, embed_dim]`
/// - result: `[1]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn feature_agreement(features: Tensor<2>, frozen: Tensor<2>) -> Tensor<1> {
    assert_eq!(features.dims(), frozen.dims(), "agreement of features of different shapes");
    (features - frozen.detach()).abs().mean_dim(1).mean()
}

/// `1/(B C) Σ KL(softmax(frozen) ‖ softmax(logits))` over `B` samples of `C` classes (Khattak et al. 2023,
/// section 3.2.1). The sum is divided by the number of logits, not of samples, as in the released
/// `trainers/promptsrc.py`. The frozen logits are detached.
///
/// # Shapes
///
/// - `logits`, `frozen`: `[batch, classes]`
/// - result: `[1]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn logit_agreement(logits: Tensor<2>, frozen: Tensor<2>) -> Tensor<1> {
    let [_, classes] = logits.dims();
    kl_divergence(logits, frozen.detach(), 1.0).mean() / classes as f64
}

/// One frozen text feature per class from several templates: the mean of the raw features, scaled to unit
/// length (Khattak et al. 2023, section 3.2.3; `trainers/promptsrc.py`). Templates with longer raw features
/// count for more than in a mean of unit features.
///
/// # Shapes
///
/// - `features`: raw features, `[classes, templates, embed_dim]`
/// - result: rows of unit length, `[classes, embed_dim]`
pub fn aggregate_templates(features: Tensor<3>) -> Tensor<2> {
    let mean: Tensor<2> = features.mean_dim(1).squeeze_dim(1);
    let length = (mean.clone() * mean.clone()).sum_dim(1).sqrt();
    mean / length
}

/// PromptSRC's loss: `CE + w_text L1_text + w_image L1_image + w_logits KL` (Khattak et al. 2023, section
/// 3.2.1; `trainers/promptsrc.py`). Everything of the frozen model is detached.
///
/// # Shapes
///
/// - `labels`: `[batch]`
/// - the others as in [`BatchOutputs`]
///
/// # Panics
///
/// If the shapes do not agree.
pub fn promptsrc(
    prompted: BatchOutputs,
    frozen: BatchOutputs,
    labels: Tensor<1, Int>,
    weights: PromptSrcWeights,
) -> PromptSrc {
    let cross_entropy = cross_entropy(prompted.logits.clone(), labels).mean();
    let text = feature_agreement(prompted.text, frozen.text);
    let image = feature_agreement(prompted.image, frozen.image);
    let logits = logit_agreement(prompted.logits, frozen.logits);
    let loss = cross_entropy.clone()
        + text.clone() * weights.text
        + image.clone() * weights.image
        + logits.clone() * weights.logits;
    PromptSrc { loss, cross_entropy, text, image, logits }
}
