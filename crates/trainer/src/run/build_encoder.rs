//! From the words of a spec to the fine-tuning of an image encoder under a linear classifier.

use std::collections::BTreeSet;
use std::sync::Arc;

use regulus_clip::RunningStatistics;
use regulus_losses::TesSettings;

use super::build::zero_shot;
use super::build_masks::{settings, targets};
use super::{Materials, RunError};
use crate::class_texts::permuted;
use crate::experiment::{JointSpec, MethodSpec, TesSpec};
use crate::method::Method;
use crate::methods::{EncoderMasks, EncoderTuning, ImageEncoder, NamedParts, SeededDraws, Supervision};
use crate::training_groups::prefix_of;

/// What the fine-tuning of an encoder is built from.
pub(super) struct EncoderBuilder<'a> {
    pub materials: &'a Materials,
    /// The classes to tell apart.
    pub class_names: &'a [String],
    pub seed: u64,
}

impl EncoderBuilder<'_> {
    /// TeS on the backbone, or on CLIP's image tower where there is none.
    pub(super) fn tes(&self, spec: &TesSpec) -> Result<EncoderTuning, RunError> {
        let Materials { pretrained, task, texts, .. } = self.materials;
        let template = task.templates.first().map_or("{}", String::as_str);
        let features = texts.features(pretrained, self.class_names, template)?;
        let features = if spec.permuted { permuted(features, self.seed)? } else { features };
        let settings = TesSettings { tau: spec.tau, lambda_v: spec.lambda_v, lambda_t: spec.lambda_t };
        Ok(self.tuning(Supervision::Texts { features, settings }))
    }

    /// TeS with masks of its encoder; `None` for other methods.
    pub(super) fn guided_masks(
        &self,
        joint: &JointSpec,
    ) -> Result<Option<NamedParts<EncoderTuning>>, RunError> {
        let (mut guided, mut masked) = (None, None);
        for (name, part) in &joint.parts {
            match part {
                MethodSpec::Tes(spec) => guided = Some((prefix_of(name), spec)),
                MethodSpec::MaskTuning(spec) => masked = Some((prefix_of(name), spec)),
                _ => {}
            }
        }
        let (Some((of_tes, tes)), Some((of_masks, masks))) = (guided, masked) else { return Ok(None) };
        let zero_shot = match self.materials.backbone {
            Some(_) => None,
            None => Some(zero_shot(self.materials, self.class_names)?),
        };
        let masks = EncoderMasks {
            targets: targets(masks),
            settings: settings(masks),
            draws: Arc::new(SeededDraws { seed: self.seed }),
            zero_shot,
        };
        let tuning = self.tes(tes)?.with_masks(masks)?;
        let heads: BTreeSet<String> = tuning
            .parameters()
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| tuning.is_head(name))
            .collect();
        let prefix = |name: &str| if heads.contains(name) { of_tes.clone() } else { of_masks.clone() };
        Ok(Some(NamedParts::new(tuning, prefix)))
    }

    /// Fine-tuning by the labels alone.
    pub(super) fn by_labels(&self, smoothing: f64) -> EncoderTuning {
        self.tuning(Supervision::Labels { classes: self.class_names.len(), smoothing })
    }

    fn tuning(&self, supervision: Supervision) -> EncoderTuning {
        let Materials { pretrained, backbone, .. } = self.materials;
        let (encoder, running) = match backbone {
            Some(loaded) => {
                let (network, device) = (loaded.backbone.clone(), pretrained.clip.device());
                (ImageEncoder::Backbone { network, device }, RunningStatistics::new(loaded.batches.clone()))
            }
            None => (ImageEncoder::Clip(pretrained.clip.clone()), RunningStatistics::default()),
        };
        EncoderTuning::new(encoder, supervision, self.seed, running)
    }
}
