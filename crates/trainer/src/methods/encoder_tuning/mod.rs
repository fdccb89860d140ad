//! Fine-tuning of an image encoder, whatever its pre-training, under a linear classifier: by the labels alone, or guided
//! by the texts of the classes (TeS).
//!
//! Both are one method, so that a comparison of them compares the guidance and nothing else: encoder, classifier, its
//! initial values and batch normalisation are the same. Batch normalisation uses the statistics of the batch
//! throughout training, in the encoder as in the projection, and moves the running ones, which predictions use (Wang
//! et al., "Improved Visual Fine-tuning with Natural Language Supervision", ICCV 2023; `model.py` and `run.py`).

mod encoder;
mod masked;
mod text_guidance;

pub use encoder::ImageEncoder;
pub use masked::EncoderMasks;

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::tensor::Tensor;
use regulus_clip::{Injection, Normalisation, RunningStatistics};
use regulus_kernels::computing_once;
use regulus_losses::{TesSettings, smooth_labels, soft_cross_entropy};

use super::linear_layer::LinearLayer;
use super::masks::MaskError;
use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable, PlainClassifier};
use crate::method::{BufferError, Method, Objective, StepOutcome};
use crate::parameters::Parameters;
use masked::MaskedEncoder;
use text_guidance::TextGuidance;

/// What the classifier starts from: `fc.weight` `[classes, width]` and `fc.bias` `[classes]`.
const CLASSIFIER: &str = "fc";

/// What the classifier learns from.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one for each run")]
pub enum Supervision {
    /// The labels: cross-entropy.
    Labels {
        /// Number of classes.
        classes: usize,
        /// Share of the uniform distribution in the targets, in [0, 1]; 0 for the labels as they are.
        smoothing: f64,
    },
    /// The labels, softened by the texts of the classes: TeS.
    Texts {
        /// Features of the classes' texts in the order of the labels, `[classes, text_width]`, of any length but 0.
        features: Tensor<2>,
        /// TeS's three numbers.
        settings: TesSettings,
    },
}

/// An image encoder and a linear classifier in training. The running statistics of batch normalisation move at every
/// [`Method::step`]; they belong to the last parameters that were trained.
#[derive(Debug, Clone)]
pub struct EncoderTuning {
    encoder: ImageEncoder,
    classifier: LinearLayer,
    /// Share of the uniform distribution, where nothing guides.
    smoothing: f64,
    guidance: Option<TextGuidance>,
    /// Where masks are trained in the place of the encoder's weights.
    masked: Option<MaskedEncoder>,
    start: Parameters,
    running: RefCell<RunningStatistics>,
}

impl EncoderTuning {
    /// Fine-tunes `encoder`. Linear maps start uniform within `1 / sqrt(inputs)`, weights and biases alike (PyTorch's
    /// default), each from a stream of its own, so that the classifier of a seed is the same with and without texts.
    /// `running` are the statistics of the encoder's pre-training: [`RunningStatistics::default`] starts at those that
    /// the network holds.
    pub fn new(
        encoder: ImageEncoder,
        supervision: Supervision,
        seed: u64,
        running: RunningStatistics,
    ) -> Self {
        let width = encoder.width();
        let (classes, smoothing, guidance) = match supervision {
            Supervision::Labels { classes, smoothing } => (classes, smoothing, None),
            Supervision::Texts { features, settings } => {
                let [classes, _] = features.dims();
                (classes, 0.0, Some(TextGuidance::new(width, features, settings)))
            }
        };
        let classifier = LinearLayer { name: CLASSIFIER.into(), inputs: width, outputs: classes };
        let (device, mut start) = (encoder.device(), Parameters::default());
        for parameter in encoder.trainable() {
            start.insert(parameter.path, parameter.value, parameter.shape);
        }
        classifier.add_to(&mut start, seed, &device);
        if let Some(guidance) = &guidance {
            guidance.add_to(&mut start, seed, &device);
        }
        let (masked, running) = (None, RefCell::new(running));
        Self { encoder, classifier, smoothing, guidance, masked, start, running }
    }

    /// The same with masks: the encoder's weights are frozen, and masks of some of them are trained together with the
    /// classifier and the projection (R-MT on the backbone of TeS). Batch normalisation goes on using the statistics of
    /// the batch, and the running ones follow the masked features.
    ///
    /// # Errors
    /// [`MaskError`] if the encoder has no weights of that kind, or gradient dropout has no zero-shot prediction.
    pub fn with_masks(self, masks: EncoderMasks) -> Result<Self, MaskError> {
        let masked = MaskedEncoder::new(&self.encoder, masks)?;
        let start = self.start.filtered(|path| self.is_head(path)).with(&masked.parameters());
        Ok(Self { masked: Some(masked), start, ..self })
    }

    /// Image features `[batch, width]` of normalised pixels `[batch, 3, height, width]`, as for a prediction.
    pub fn features(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        let injection = self.running.borrow().injected(self.injection(parameters));
        self.encoder.features(pixels, &injection, Normalisation::Running)
    }

    /// Projected features of unit length, `[batch, text_width]`, of image features, as for a prediction; `None` without
    /// texts.
    pub fn projected(&self, parameters: &Parameters, features: Tensor<2>) -> Option<Tensor<2>> {
        let running = self.running.borrow();
        let guidance = self.guidance.as_ref()?;
        Some(guidance.project(parameters, features, running.values(), &mut Normalisation::Running))
    }

    fn injection(&self, parameters: &Parameters) -> Injection {
        if let Some(masked) = &self.masked {
            return masked.injection(parameters);
        }
        let encoder = parameters.iter().filter(|(path, _)| !self.is_head(path));
        encoder.fold(Injection::none(), |injection, (path, leaf)| {
            injection.replace(path.clone(), leaf.value.clone())
        })
    }

    /// The objective of a batch, whose statistics move `running`.
    fn trained(&self, parameters: &Parameters, batch: &Batch, running: &mut RunningStatistics) -> Objective {
        let (pixels, labels) = (batch.pixels.clone(), batch.labels.clone());
        let injection = self.injection(parameters);
        let features = self.encoder.features(pixels, &injection, Normalisation::Batch(&mut *running));
        let logits = self.classifier.forward(parameters, features.clone());
        let objective = match &self.guidance {
            Some(guidance) => {
                // Statistics that have moved before are known to `running` itself.
                let (start, mut of_batch) = (BTreeMap::new(), Normalisation::Batch(running));
                let projected = guidance.project(parameters, features, &start, &mut of_batch);
                guidance.objective(logits, projected, labels)
            }
            None => {
                let ([_, classes], precision) = (logits.dims(), logits.dtype());
                let targets = smooth_labels(labels, classes, self.smoothing, &logits.device());
                let targets = targets.cast(precision);
                Objective { loss: soft_cross_entropy(logits, targets).mean(), terms: Vec::new() }
            }
        };
        match &self.masked {
            Some(masked) => masked.held_back(parameters, objective),
            None => objective,
        }
    }

    /// Lengths of the running statistics that training moves, by path.
    fn statistics(&self) -> BTreeMap<String, usize> {
        let of_texts = self.guidance.iter().flat_map(TextGuidance::statistics);
        self.encoder.statistics().into_iter().chain(of_texts).collect()
    }
}

impl Method for EncoderTuning {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn prepare(&mut self, images: &ImageSet<'_>) {
        if let Some(masked) = &mut self.masked {
            masked.prepare(images);
        }
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        self.trained(parameters, batch, &mut self.running.borrow().clone())
    }

    fn step(&self, parameters: &Parameters, batch: &Batch) -> StepOutcome {
        let tracked = parameters.tracked();
        let objective = || self.trained(&tracked, batch, &mut self.running.borrow_mut());
        let Some((masked, dropping)) = self.masked.as_ref().and_then(MaskedEncoder::dropping) else {
            return StepOutcome::of(objective(), &tracked);
        };
        // Both begin with the same masked tower, which a vision transformer computes once.
        let student = || masked.student(dropping, parameters, batch);
        let (objective, student) = computing_once(objective, student);
        let mut outcome = StepOutcome::of(objective, &tracked);
        masked.drop_entries(dropping, student, batch, &mut outcome);
        outcome
    }

    fn facts(&self, parameters: &Parameters) -> Vec<(&'static str, f64)> {
        self.masked.as_ref().map(|masked| masked.facts(parameters)).unwrap_or_default()
    }

    fn is_head(&self, name: &str) -> bool {
        self.classifier.owns(name) || TextGuidance::owns(name)
    }

    fn smallest_batch(&self) -> usize {
        if self.guidance.is_some() || self.encoder.normalises_batches() { 2 } else { 1 }
    }

    /// The running statistics by path, without those that no batch has moved yet. PyTorch's counters of batches are
    /// left out: nothing depends on them.
    fn buffers(&self) -> BTreeMap<String, Tensor<1>> {
        self.running.borrow().values().clone()
    }

    fn restore_buffers(&mut self, buffers: &BTreeMap<String, Tensor<1>>) -> Result<(), BufferError> {
        let known = self.statistics();
        for (path, value) in buffers {
            let expected = *known.get(path).ok_or_else(|| BufferError::Unknown { path: path.clone() })?;
            let [found] = value.dims();
            if found != expected {
                return Err(BufferError::Length { path: path.clone(), found, expected });
            }
        }
        let running = self.running.take().with_values(buffers.clone());
        self.running.replace(running);
        Ok(())
    }

    fn threshold(&self, name: &str) -> Option<f64> {
        self.masked.as_ref()?.threshold(name)
    }

    /// Of a backbone: its trained weights and running statistics under the linear classifier. What TeS adds beside it
    /// takes no part in a prediction.
    fn merged(&self, parameters: &Parameters) -> Result<Merged, NotMergeable> {
        if matches!(self.encoder, ImageEncoder::Clip(_)) {
            return Err(NotMergeable::new(
                "its classifier reads the image tower before the projection, where a plain CLIP has none",
            ));
        }
        let mut weights: BTreeMap<String, Tensor<1>> = match &self.masked {
            Some(masked) => masked.applied(parameters),
            None => {
                let own = parameters.iter().filter(|(path, _)| !self.is_head(path));
                own.map(|(path, leaf)| (path.clone(), leaf.value.clone())).collect()
            }
        };
        let of_texts = |path: &String| TextGuidance::owns(path);
        let moved = self.buffers().into_iter().filter(|(path, _)| !of_texts(path));
        weights.extend(moved);
        let leaf = |part: &str| &parameters[&*format!("{CLASSIFIER}.{part}")];
        let classifier = PlainClassifier::Linear {
            weight: leaf("weight").tensor(),
            bias: leaf("bias").tensor(),
            unit_features: false,
        };
        Ok(Merged { weights, classifier })
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.classifier.forward(parameters, self.features(parameters, pixels))
    }
}
