//! What keeps learned prompts near the frozen model.

use burn::tensor::Tensor;
use regulus_losses::{self as losses, BatchOutputs, PromptSrcWeights};

use crate::method::Objective;

/// The regulariser of prompt learning. Text features of the frozen model have unit length.
#[derive(Debug, Clone)]
pub enum PromptRegulariser {
    /// Nothing: cross-entropy alone.
    None,
    /// KgCoOp (Yao et al., CVPR 2023; `trainers/kgcoop.py`): `CE + weight (1 - mean_c cos(t_c, t0_c))`, half the
    /// mean squared distance of the paper's equation 3. Published: 8.
    KnowledgeGuided {
        /// Factor on the distance.
        weight: f64,
        /// Unit text features of hand-written prompts, `[classes, embed]`.
        hand_written: Tensor<2>,
    },
    /// PromptSRC's agreement of text features, image features and logits.
    SelfRegulating {
        /// Factors of the three terms.
        weights: PromptSrcWeights,
        /// The frozen model's unit text features from many templates, `[classes, embed]`.
        texts: Tensor<2>,
    },
}

impl PromptRegulariser {
    /// Whether it compares with what the frozen model makes of images.
    pub(crate) fn needs_frozen_images(&self) -> bool {
        matches!(self, Self::SelfRegulating { .. })
    }

    /// `supervised` with this regulariser's terms added one by one. `frozen` computes what the frozen model makes of
    /// the batch under these text features.
    pub(crate) fn added_to(
        &self,
        supervised: Objective,
        prompted: BatchOutputs,
        frozen: impl FnOnce(Tensor<2>) -> BatchOutputs,
    ) -> Objective {
        let terms = match self {
            Self::None => return supervised,
            Self::KnowledgeGuided { weight, hand_written } => {
                let distance = (prompted.text * hand_written.clone()).sum_dim(1).mean().neg() + 1.0;
                vec![("text_distance", distance, *weight)]
            }
            Self::SelfRegulating { weights, texts } => {
                let frozen = frozen(texts.clone());
                let (text, image) = (
                    losses::feature_agreement(prompted.text, frozen.text),
                    losses::feature_agreement(prompted.image, frozen.image),
                );
                let logits = losses::logit_agreement(prompted.logits, frozen.logits);
                vec![
                    ("text_agreement", text, weights.text),
                    ("image_agreement", image, weights.image),
                    ("logit_agreement", logits, weights.logits),
                ]
            }
        };
        let Objective { mut loss, terms: mut named } = supervised;
        if named.is_empty() {
            named.push(("cross_entropy", loss.clone()));
        }
        for (name, term, weight) in terms {
            loss = loss + term.clone() * weight;
            named.push((name, term));
        }
        Objective { loss, terms: named }
    }
}
