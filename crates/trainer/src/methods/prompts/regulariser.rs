//! What keeps learned prompts near the frozen model.

use burn::tensor::{Int, Tensor};
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
    /// The objective of a batch. `frozen` computes what the frozen model makes of it.
    pub(super) fn objective(
        &self,
        prompted: BatchOutputs,
        frozen: impl FnOnce(Tensor<2>) -> BatchOutputs,
        labels: Tensor<1, Int>,
    ) -> Objective {
        let plain = |logits| losses::cross_entropy(logits, labels.clone()).mean();
        match self {
            Self::None => Objective { loss: plain(prompted.logits), terms: Vec::new() },
            Self::KnowledgeGuided { weight, hand_written } => {
                let ce = plain(prompted.logits);
                let distance = (prompted.text * hand_written.clone()).sum_dim(1).mean().neg() + 1.0;
                let loss = ce.clone() + distance.clone() * *weight;
                Objective { loss, terms: vec![("cross_entropy", ce), ("text_distance", distance)] }
            }
            Self::SelfRegulating { weights, texts } => {
                let terms = losses::promptsrc(prompted, frozen(texts.clone()), labels, *weights);
                let named = vec![
                    ("cross_entropy", terms.cross_entropy),
                    ("text_agreement", terms.text),
                    ("image_agreement", terms.image),
                    ("logit_agreement", terms.logits),
                ];
                Objective { loss: terms.loss, terms: named }
            }
        }
    }
}
