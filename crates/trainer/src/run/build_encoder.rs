//! From the words of a spec to the fine-tuning of an image encoder under a linear classifier.

use regulus_clip::RunningStatistics;
use regulus_losses::TesSettings;

use super::{Materials, RunError};
use crate::class_texts::permuted;
use crate::experiment::TesSpec;
use crate::methods::{EncoderTuning, ImageEncoder, Supervision};

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
