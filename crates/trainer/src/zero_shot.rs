//! Zero-shot classification: the frozen model with a classifier written in words. It is a method of its
//! own, and the teacher of the regularised ones.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use regulus_clip::{Clip, Injection, Precision, Pretrained, TokenizeError, normalise};
use serde::{Deserialize, Serialize};

use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable, PlainClassifier};
use crate::method::{Method, Objective};
use crate::parameters::Parameters;
use crate::prompts::tokenize;

/// How the text features of several templates become one classifier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Averaging {
    /// Normalise, average, normalise (CLIP's notebook; `ZeroshotCLIP2` of CoOp).
    #[default]
    UnitFirst,
    /// Average raw features, then normalise (PromptSRC's fixed text features).
    RawFirst,
}

/// Raw text features `[classes, embed]` of tokenised prompts, averaged over templates
/// (`prompts[template][class]`). They are computed once, and so in f32, whatever the model computes in.
pub fn text_features(clip: &Clip, prompts: &[Vec<Vec<u32>>], averaging: Averaging) -> Tensor<2> {
    let (clip, none) = (clip.clone().computing_in(Precision::F32), Injection::none());
    let encoded = prompts.iter().map(|ids| {
        let parts = ids.chunks(FROZEN_TEXTS).map(|ids| clip.encode_text(ids, &none));
        let features = match ids.len() {
            0..=FROZEN_TEXTS => clip.encode_text(ids, &none),
            _ => Tensor::cat(parts.collect(), 0),
        };
        match averaging {
            Averaging::UnitFirst if prompts.len() > 1 => normalise(features),
            _ => features,
        }
    });
    let count = prompts.len() as f64;
    match encoded.reduce(|sum, features| sum + features) {
        Some(sum) if prompts.len() > 1 => sum / count,
        Some(only) => only,
        None => Tensor::zeros([0, clip.embed_dim()], &clip.device()),
    }
}

/// The frozen model with fixed text features.
#[derive(Debug, Clone)]
pub struct ZeroShot {
    clip: Clip,
    /// Unit text features, `[classes, embed]`.
    classifier: Tensor<2>,
    scale: f64,
}

impl ZeroShot {
    /// A zero-shot classifier from raw or unit text features `[classes, embed]`.
    pub fn new(clip: Clip, text_features: Tensor<2>) -> Self {
        let scale = clip.logit_scale(&Injection::none()).into_scalar::<f64>().exp();
        Self { clip, classifier: normalise(text_features), scale }
    }

    /// The zero-shot classifier of these class names in these templates, `{}` being the place of the name.
    ///
    /// # Errors
    /// [`TokenizeError`] for a prompt that the tokenizer cannot read.
    pub fn written(
        pretrained: &Pretrained,
        class_names: &[String],
        templates: &[String],
    ) -> Result<Self, TokenizeError> {
        let prompts = tokenize(pretrained, class_names, templates)?;
        let features = text_features(&pretrained.clip, &prompts, Averaging::UnitFirst);
        Ok(Self::new(pretrained.clip.clone(), features))
    }

    /// The model.
    pub fn clip(&self) -> &Clip {
        &self.clip
    }

    /// The factor between cosine similarities and logits.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Unit features of the classes' texts, `[classes, embed]`.
    pub fn text_features(&self) -> Tensor<2> {
        self.classifier.clone()
    }

    /// Logits `[batch, classes]`: cosine similarities times the logit scale.
    pub fn classify(&self, pixels: Tensor<4>) -> Tensor<2> {
        self.classify_with(pixels, &Injection::none())
    }

    /// The same logits with a changed image tower.
    pub fn classify_with(&self, pixels: Tensor<4>, injection: &Injection) -> Tensor<2> {
        let features = normalise(self.clip.encode_image(pixels, injection));
        features.matmul(self.classifier.clone().transpose()) * self.scale
    }

    /// Logits of every image of a set, `[images, classes]`.
    pub fn classify_all(&self, images: &ImageSet<'_>) -> Tensor<2> {
        let rows: Vec<Tensor<2>> = images.chunks(FROZEN_CHUNK).map(|pixels| self.classify(pixels)).collect();
        Tensor::cat(rows, 0)
    }
}

/// Texts per forward pass where no gradient is needed.
pub(crate) const FROZEN_TEXTS: usize = 512;

/// Images per forward pass where no gradient is needed.
pub(crate) const FROZEN_CHUNK: usize = 128;

impl Method for ZeroShot {
    fn parameters(&self) -> Parameters {
        Parameters::default()
    }

    fn objective(&self, _: &Parameters, batch: &Batch) -> Objective {
        let logits = self.classify(batch.pixels.clone());
        Objective {
            loss: regulus_losses::cross_entropy(logits, batch.labels.clone()).mean(),
            terms: Vec::new(),
        }
    }

    fn logits(&self, _: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.classify(pixels)
    }

    fn merged(&self, _: &Parameters) -> Result<Merged, NotMergeable> {
        Ok(Merged { weights: BTreeMap::new(), classifier: PlainClassifier::Texts(self.text_features()) })
    }
}
