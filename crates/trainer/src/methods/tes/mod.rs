//! TeS: fine-tuning of an image encoder, whatever its pre-training, that the names of the classes regularise.
//!
//! Wang et al., "Improved Visual Fine-tuning with Natural Language Supervision", ICCV 2023; `model.py`, `TeS_loss.py`
//! and `run.py`. The loss is [`regulus_losses::tes`]; here is the model that it trains. Batch normalisation uses the
//! statistics of the batch throughout, in the encoder as in the projection.

mod encoder;
mod head;

pub use encoder::ImageEncoder;
pub use head::TesHead;

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::tensor::Tensor;
use regulus_clip::{Injection, Normalisation, RunningStatistics, normalise};
use regulus_losses::{TesSettings, tes};

use crate::batches::Batch;
use crate::method::{Method, Objective, StepOutcome};
use crate::parameters::Parameters;

/// Parts of TeS that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TesError {
    /// The texts are not those of the classes.
    #[error("{texts} text features for {classes} classes: give one for each, in the order of the labels")]
    Texts {
        /// Rows of the text features.
        texts: usize,
        /// Classes of the head.
        classes: usize,
    },
    /// The projection does not end in the space of the texts.
    #[error(
        "text features of width {text}, a projection to {projection}: make the head for the width of the texts"
    )]
    TextWidth {
        /// Width of the text features.
        text: usize,
        /// Width of the projected features.
        projection: usize,
    },
    /// The head is not made for the encoder.
    #[error(
        "image features of width {encoder}, a head for {head}: make the head for the width of the encoder"
    )]
    ImageWidth {
        /// Width of the image features.
        encoder: usize,
        /// Width that the head reads.
        head: usize,
    },
}

/// TeS. The running statistics of batch normalisation move at every [`Method::step`] and are used for
/// predictions; they belong to the last parameters that were trained.
#[derive(Debug, Clone)]
pub struct Tes {
    encoder: ImageEncoder,
    head: TesHead,
    /// Unit features of the classes' texts, `[classes, text_width]`.
    text: Tensor<2>,
    settings: TesSettings,
    running: RefCell<RunningStatistics>,
}

impl Tes {
    /// Fine-tunes `encoder` under `head`, regularised by the features of the classes' texts, `[classes, text_width]`
    /// of any length. `running` are the statistics of the encoder's pre-training:
    /// [`RunningStatistics::default`] starts at those that the network holds.
    ///
    /// # Errors
    /// [`TesError`] if the parts do not fit together.
    pub fn new(
        encoder: ImageEncoder,
        head: TesHead,
        text: Tensor<2>,
        settings: TesSettings,
        running: RunningStatistics,
    ) -> Result<Self, TesError> {
        let [texts, text_width] = text.dims();
        if texts != head.classes() {
            return Err(TesError::Texts { texts, classes: head.classes() });
        }
        if text_width != head.text_width() {
            return Err(TesError::TextWidth { text: text_width, projection: head.text_width() });
        }
        if encoder.width() != head.width() {
            return Err(TesError::ImageWidth { encoder: encoder.width(), head: head.width() });
        }
        Ok(Self { encoder, head, text: normalise(text), settings, running: RefCell::new(running) })
    }

    /// The running statistics by path, without those that no batch has moved yet.
    pub fn running_statistics(&self) -> BTreeMap<String, Tensor<1>> {
        self.running.borrow().values().clone()
    }

    /// Image features `[batch, width]` of normalised pixels `[batch, 3, height, width]`, as for a prediction.
    pub fn features(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        let injection = self.running.borrow().injected(Self::injection(parameters));
        self.encoder.features(pixels, &injection, Normalisation::Running)
    }

    /// Projected features of unit length, `[batch, text_width]`, of image features, as for a prediction.
    pub fn projected(&self, parameters: &Parameters, features: Tensor<2>) -> Tensor<2> {
        let running = self.running.borrow();
        self.head.project(parameters, features, running.values(), &mut Normalisation::Running)
    }

    fn injection(parameters: &Parameters) -> Injection {
        parameters.replacing(|path| !TesHead::owns(path))
    }

    /// The objective of a batch, whose statistics move `running`.
    fn trained(&self, parameters: &Parameters, batch: &Batch, running: &mut RunningStatistics) -> Objective {
        let injection = Self::injection(parameters);
        let features =
            self.encoder.features(batch.pixels.clone(), &injection, Normalisation::Batch(&mut *running));
        let before = running.values().clone();
        let projected = self.head.project(
            parameters,
            features.clone(),
            &before,
            &mut Normalisation::Batch(&mut *running),
        );
        let logits = self.head.logits(parameters, features);
        let parts = tes(logits, projected, self.text.clone(), batch.labels.clone(), self.settings);
        let terms = vec![("vision", parts.vision.mean()), ("text", parts.text.mean())];
        Objective { loss: parts.loss, terms }
    }
}

impl Method for Tes {
    fn parameters(&self) -> Parameters {
        let mut parameters = Parameters::default();
        for parameter in self.encoder.trainable() {
            parameters.insert(parameter.path, parameter.value, parameter.shape);
        }
        self.head.add_to(&mut parameters);
        parameters
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        self.trained(parameters, batch, &mut self.running.borrow().clone())
    }

    fn step(&self, parameters: &Parameters, batch: &Batch) -> StepOutcome {
        let tracked = parameters.tracked();
        let objective = self.trained(&tracked, batch, &mut self.running.borrow_mut());
        StepOutcome::of(objective, &tracked)
    }

    fn is_head(&self, name: &str) -> bool {
        TesHead::owns(name)
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.head.logits(parameters, self.features(parameters, pixels))
    }
}
