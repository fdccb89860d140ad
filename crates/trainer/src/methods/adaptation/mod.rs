//! Methods put together from parts, and methods on top of what others have trained.
//!
//! A part changes weights, inputs or features of the frozen model; an objective and regularisers say what is
//! minimised. Cross-entropy (or the objective in its place) is counted once, and every regulariser adds its terms:
//! those of prompts, the masks' norm, and gradient dropout, which touches the gradients of masks alone. Parts that an
//! earlier stage has trained have fixed values, and take part in predictions without being trained.
//!
//! | Method | Part |
//! | --- | --- |
//! | prompt learners | [`Prompts`], with their [`PromptRegulariser`] |
//! | R-MT | [`Masks`] |
//! | CLIP-LoRA | [`LowRank`] |
//! | Tip-Adapter, Tip-Adapter-F | [`Cache`] |
//! | CLIP-Adapter | [`Bottleneck`] |
//! | fine-tuning, ProReg | [`WholeTower`], and [`Regulariser`] as objective |

mod bottleneck;
mod cache;
mod classifier;
mod low_rank;
mod tower;

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use regulus_clip::{EmbeddedTexts, Injection, normalise};
use regulus_kernels::computing_once;
use regulus_losses::{BatchOutputs, fused_distillation};

pub use bottleneck::Bottleneck;
pub use cache::{Cache, CacheSettings};
pub use classifier::Classifier;
pub use low_rank::{LowRank, LowRankError, LowRankSettings, Matrix, Towers};
pub use tower::WholeTower;

use super::Head;
use super::finetune::Regulariser;
use super::head::TEXT_FEATURES;
use super::masks::{DropoutDraws, GradientDropout, Masks};
use super::part::Part;
use super::prompts::frozen_images::FrozenImages;
use super::prompts::{IMAGE_PROMPTS, PromptRegulariser, Prompts};
use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable, PlainClassifier};
use crate::method::{BufferError, Method, Objective, StepOutcome};
use crate::parameters::{LeafGradients, Parameters};
use crate::stages::{self, Stage};
use crate::zero_shot::{FROZEN_CHUNK, ZeroShot};

/// A part and what the names of its parameters begin with: `coop/`, or nothing for a method of one part.
#[derive(Debug, Clone)]
pub struct Placed<P> {
    /// The beginning of the names.
    pub prefix: String,
    /// The part.
    pub part: P,
}

/// What an adapted model consists of.
#[derive(Debug, Clone)]
pub struct Composition {
    /// The frozen model and its hand-written classifier, which regularisers follow.
    pub frozen: ZeroShot,
    /// The hand-written class texts, for parts that change how texts are read.
    pub written: EmbeddedTexts,
    /// All weights of the image tower.
    pub tower: Option<Placed<WholeTower>>,
    /// Low-rank updates of weights. They are applied before masks.
    pub low_rank: Option<Placed<LowRank>>,
    /// Masks, with their gradient dropout.
    pub masks: Option<Placed<Masks>>,
    /// Where gradient dropout's random numbers come from.
    pub draws: Arc<dyn DropoutDraws>,
    /// Prompts.
    pub prompts: Option<Placed<Arc<dyn Prompts>>>,
    /// What keeps prompts near the frozen model.
    pub regulariser: PromptRegulariser,
    /// What makes logits of features.
    pub classifier: Placed<Classifier>,
    /// What is minimised of the logits.
    pub objective: Regulariser,
    /// Values of parts that are not trained any more.
    pub fixed: Parameters,
    /// Whether regularisers follow the fixed parts' model in the place of the frozen one (`teacher = "stage1"`).
    pub follows_fixed: bool,
}

/// A frozen model that is changed by several parts at once.
#[derive(Debug, Clone)]
pub struct Adaptation {
    composition: Composition,
    start: Parameters,
    scale: f64,
    teacher: ZeroShot,
    /// What the teacher's image tower is changed by.
    teacher_injection: Injection,
    frozen_images: FrozenImages,
    /// Unit text features, if nothing trained reaches them, `[classes, embed]`.
    fixed_texts: Option<Tensor<2>>,
    /// Raw features of every training image, if nothing trained reaches them and images are not augmented.
    fixed_images: Option<Tensor<2>>,
    /// The teacher's logits of every training image, when images are not augmented.
    teacher_logits: Option<Tensor<2>>,
}

impl Composition {
    /// Parts that change what the towers compute, in the order in which their changes are applied.
    fn parts(&self) -> Vec<(&str, &dyn Part)> {
        fn of<P: Part>(placed: &Option<Placed<P>>) -> Option<(&str, &dyn Part)> {
            placed.as_ref().map(|placed| (placed.prefix.as_str(), &placed.part as &dyn Part))
        }
        let prompts = self.prompts.as_ref().map(|placed| {
            let part: &dyn Part = placed.part.as_ref();
            (placed.prefix.as_str(), part)
        });
        [of(&self.tower), of(&self.low_rank), of(&self.masks), prompts].into_iter().flatten().collect()
    }

    /// All parameters with their initial values, or the values that they are fixed at.
    fn parameters(&self) -> Parameters {
        let parts = self.parts().into_iter();
        let parts = parts.map(|(prefix, part)| part.parameters().prefixed(prefix));
        let classifier = self.classifier.part.parameters().prefixed(&self.classifier.prefix);
        parts.chain([classifier, self.fixed.clone()]).fold(Parameters::default(), |all, part| all.with(&part))
    }

    /// What earlier stages have trained, without what is trained now.
    fn fixed_parts(&self) -> Self {
        let Self { tower, low_rank, masks, prompts, .. } = self.clone();
        Self {
            tower: tower.filter(|placed| self.is_fixed(&placed.prefix)),
            low_rank: low_rank.filter(|placed| self.is_fixed(&placed.prefix)),
            masks: masks.filter(|placed| self.is_fixed(&placed.prefix)),
            prompts: prompts.filter(|placed| self.is_fixed(&placed.prefix)),
            ..self.clone()
        }
    }

    /// Whether an earlier stage has trained what begins with `prefix`.
    fn is_fixed(&self, prefix: &str) -> bool {
        self.fixed.iter().any(|(name, _)| name.starts_with(prefix))
    }

    /// What the parts change; at a step of training, if there is a batch.
    fn injection(&self, parameters: &Parameters, batch: Option<&Batch>) -> Injection {
        let parts = self.parts().into_iter();
        parts.fold(Injection::none(), |injection, (prefix, part)| {
            let own = parameters.within(prefix);
            match batch.filter(|_| !self.is_fixed(prefix)) {
                Some(batch) => part.inject_training(&own, injection, batch),
                None => part.inject(&own, injection),
            }
        })
    }

    /// Unit text features, `[classes, embed]`: of prompts, of a trained classifier, or of the hand-written texts.
    fn text_features(&self, parameters: &Parameters, batch: Option<&Batch>) -> Tensor<2> {
        let clip = self.frozen.clip();
        if let Some(Placed { prefix, part }) = &self.prompts {
            let texts = part.texts(&parameters.within(prefix));
            return normalise(clip.encode_embedded(&texts, &self.injection(parameters, batch)));
        }
        let trained = self.tower.as_ref().and_then(|placed| {
            let leaf = parameters.get(&format!("{}{TEXT_FEATURES}", placed.prefix))?;
            Some(normalise(leaf.tensor()))
        });
        let read = |_: &_| normalise(clip.encode_embedded(&self.written, &self.injection(parameters, batch)));
        let updated = self.low_rank.as_ref().filter(|placed| placed.part.reaches_texts());
        trained.or_else(|| updated.map(read)).unwrap_or_else(|| self.frozen.text_features())
    }

    /// Whether something that is trained reaches what `reaches` asks for.
    fn trains(&self, reaches: impl Fn(&dyn Part) -> bool) -> bool {
        self.parts().into_iter().any(|(prefix, part)| reaches(part) && !self.is_fixed(prefix))
    }
}

impl Adaptation {
    /// An adapted model of which everything is trained that has no fixed value.
    pub fn new(composition: Composition) -> Self {
        let fixed = &composition.fixed;
        let start = composition.parameters().filtered(|name| fixed.get(name).is_none());
        let frozen = &composition.frozen;
        let clip = frozen.clip().clone();
        let scale = clip.logit_scale(&Injection::none()).into_scalar::<f64>().exp();
        let all = composition.parameters();
        let fixed_texts =
            (!composition.trains(|part| part.reaches_texts())).then(|| composition.text_features(&all, None));
        let (teacher, teacher_injection) = match composition.follows_fixed {
            true => {
                let below = composition.fixed_parts();
                (ZeroShot::new(clip.clone(), below.text_features(&all, None)), below.injection(&all, None))
            }
            false => (frozen.clone(), Injection::none()),
        };
        Self {
            frozen_images: FrozenImages::new(clip),
            composition,
            start,
            scale,
            teacher,
            teacher_injection,
            fixed_texts,
            fixed_images: None,
            teacher_logits: None,
        }
    }

    /// The same with another classifier: a cache is made from features that the model without it gives.
    #[must_use]
    pub fn with_classifier(self, classifier: Placed<Classifier>) -> Self {
        Self::new(Composition { classifier, ..self.composition })
    }

    /// Image features as they leave the tower before any training, `[batch, embed]`.
    pub fn initial_features(&self, pixels: Tensor<4>) -> Tensor<2> {
        self.raw_features(&self.composition.parameters(), pixels, None)
    }

    fn all(&self, parameters: &Parameters) -> Parameters {
        self.composition.fixed.clone().with(parameters)
    }

    fn raw_features(&self, all: &Parameters, pixels: Tensor<4>, batch: Option<&Batch>) -> Tensor<2> {
        self.composition.frozen.clip().encode_image(pixels, &self.composition.injection(all, batch))
    }

    fn text_features(&self, all: &Parameters, batch: Option<&Batch>) -> Tensor<2> {
        self.fixed_texts.clone().unwrap_or_else(|| self.composition.text_features(all, batch))
    }

    /// Raw features of a training batch.
    fn features_of(&self, all: &Parameters, batch: &Batch) -> Tensor<2> {
        match &self.fixed_images {
            Some(features) => batch.rows_of(features),
            None => self.raw_features(all, batch.pixels.clone(), Some(batch)),
        }
    }

    fn outputs(&self, all: &Parameters, features: Tensor<2>, texts: Tensor<2>) -> BatchOutputs {
        let Placed { prefix, part } = &self.composition.classifier;
        part.outputs(&all.within(prefix), normalise(features), texts, self.scale)
    }

    fn outputs_of(&self, parameters: &Parameters, batch: &Batch) -> BatchOutputs {
        let all = self.all(parameters);
        self.outputs(&all, self.features_of(&all, batch), self.text_features(&all, Some(batch)))
    }

    fn teacher_logits(&self, batch: &Batch) -> Tensor<2> {
        match &self.teacher_logits {
            Some(logits) => batch.rows_of(logits),
            None => stages::within(Stage::Teacher, || {
                self.teacher.classify_with(batch.pixels.clone(), &self.teacher_injection)
            }),
        }
    }

    /// Masks that are trained, and their dropout.
    fn trained_masks(&self) -> Option<&Placed<Masks>> {
        let masks = self.composition.masks.as_ref();
        masks.filter(|placed| !self.composition.is_fixed(&placed.prefix))
    }

    fn dropout(&self) -> Option<(&Placed<Masks>, &GradientDropout)> {
        let placed = self.trained_masks()?;
        Some((placed, placed.part.settings().dropout.as_ref()?))
    }

    /// What is minimised of the outputs of a batch.
    fn objective_of(&self, parameters: &Parameters, batch: &Batch, outputs: BatchOutputs) -> Objective {
        let Composition { objective, regulariser, frozen, .. } = &self.composition;
        let supervised =
            objective.of_logits(outputs.logits.clone(), batch.labels.clone(), || self.teacher_logits(batch));
        let of_frozen = |text: Tensor<2>| {
            let image = self.frozen_images.of(batch);
            let logits = image.clone().matmul(text.clone().transpose()) * frozen.scale();
            BatchOutputs { image, text, logits }
        };
        let Objective { loss, mut terms } = regulariser.added_to(supervised, outputs, of_frozen);
        let masks = self.trained_masks();
        let norm = masks.and_then(|placed| placed.part.penalty(&parameters.within(&placed.prefix)));
        match norm {
            Some(norm) => {
                if terms.is_empty() {
                    terms.push(("cross_entropy", loss.clone()));
                }
                terms.push(("mask_norm", norm.clone()));
                Objective { loss: loss + norm, terms }
            }
            None => Objective { loss, terms },
        }
    }

    /// The gradient in the `tracked` masks of the agreement of logits with the teacher, and its value.
    fn general(
        &self,
        tracked: &Parameters,
        student: Tensor<2>,
        batch: &Batch,
        dropout: &GradientDropout,
    ) -> (LeafGradients, f64) {
        let GradientDropout { temperature, fuse, target, .. } = *dropout;
        let loss = fused_distillation(student, self.teacher_logits(batch), fuse, temperature, target).mean();
        (tracked.gradients_of(&loss), loss.into_scalar())
    }
}

impl Method for Adaptation {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn prepare(&mut self, images: &ImageSet<'_>) {
        let all = self.composition.parameters();
        if !self.composition.trains(|part| part.reaches_images()) && !images.is_empty() {
            let rows =
                images.chunks(FROZEN_CHUNK).map(|pixels| self.raw_features(&all, pixels, None)).collect();
            self.fixed_images = Some(Tensor::cat(rows, 0));
        }
        if self.composition.regulariser.needs_frozen_images() {
            self.frozen_images.prepare(images);
        }
        if self.composition.objective.needs_teacher() || self.dropout().is_some() {
            let rows = images
                .chunks(FROZEN_CHUNK)
                .map(|pixels| self.teacher.classify_with(pixels, &self.teacher_injection))
                .collect();
            self.teacher_logits = Some(Tensor::cat(rows, 0));
        }
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        self.objective_of(parameters, batch, self.outputs_of(parameters, batch))
    }

    /// Of the forward pass that two objectives share, see [`computing_once`].
    fn step(&self, parameters: &Parameters, batch: &Batch) -> StepOutcome {
        let tracked = parameters.tracked();
        let Some((masks, dropout)) = self.dropout() else {
            return StepOutcome::of(self.objective(&tracked, batch), &tracked);
        };
        let Placed { prefix, part } = masks;
        let of_general = parameters.within(prefix).tracked();
        let student = || {
            let all = parameters.clone().with(&of_general.clone().prefixed(prefix));
            self.outputs_of(&all, batch).logits
        };
        let (outputs, student) = computing_once(|| self.outputs_of(&tracked, batch), student);
        let mut outcome = StepOutcome::of(self.objective_of(&tracked, batch, outputs), &tracked);
        let (general, agreement) = self.general(&of_general, student, batch, dropout);
        let draws = self.composition.draws.draw(batch.epoch, batch.step, part.weights());
        let taken = std::mem::take(&mut outcome.gradients);
        let (masked, others): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|(name, _)| name.starts_with(prefix.as_str()));
        let mut task: LeafGradients =
            masked.into_iter().map(|(name, gradient)| (name[prefix.len()..].to_owned(), gradient)).collect();
        let kept = part.drop_entries(&mut task, &general, draws, dropout.lambda);
        let task = task.into_iter().map(|(name, gradient)| (format!("{prefix}{name}"), gradient));
        outcome.gradients = task.chain(others).collect();
        outcome.terms.extend([("agreement_with_teacher", agreement), ("kept", kept)]);
        outcome
    }

    fn facts(&self, parameters: &Parameters) -> Vec<(&'static str, f64)> {
        let all = self.all(parameters);
        let masks = self.composition.masks.as_ref();
        masks.map(|placed| placed.part.facts(&all.within(&placed.prefix))).unwrap_or_default()
    }

    fn buffers(&self) -> BTreeMap<String, Tensor<1>> {
        let Placed { prefix, part } = &self.composition.classifier;
        part.buffers().into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
    }

    fn restore_buffers(&mut self, buffers: &BTreeMap<String, Tensor<1>>) -> Result<(), BufferError> {
        let Placed { prefix, part } = &mut self.composition.classifier;
        let own = |(path, value): (&String, &Tensor<1>)| {
            let name = path.strip_prefix(prefix.as_str());
            let name = name.ok_or_else(|| BufferError::Unknown { path: path.clone() })?;
            Ok((name.to_owned(), value.clone()))
        };
        part.restore(&buffers.iter().map(own).collect::<Result<_, BufferError>>()?)?;
        // A cache has as many keys as it has labels.
        let fixed = &self.composition.fixed;
        self.start = self.composition.parameters().filtered(|name| fixed.get(name).is_none());
        Ok(())
    }

    fn threshold(&self, name: &str) -> Option<f64> {
        let Placed { prefix, part } = self.composition.masks.as_ref()?;
        part.threshold(name.strip_prefix(prefix.as_str())?)
    }

    fn merged(&self, parameters: &Parameters) -> Result<Merged, NotMergeable> {
        let all = self.all(parameters);
        self.composition.classifier.part.check_plain()?;
        if self.composition.prompts.as_ref().is_some_and(|placed| placed.part.reaches_images()) {
            return Err(NotMergeable::new(IMAGE_PROMPTS));
        }
        let weights = self.composition.frozen.clip().changed_by(&self.composition.injection(&all, None));
        Ok(Merged { weights, classifier: PlainClassifier::Texts(self.text_features(&all, None)) })
    }

    fn is_head(&self, name: &str) -> bool {
        let tower = self.composition.tower.as_ref();
        tower.and_then(|placed| name.strip_prefix(placed.prefix.as_str())).is_some_and(Head::owns)
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.predictor(parameters)(pixels)
    }

    fn predictor<'a>(&'a self, parameters: &'a Parameters) -> Box<dyn Fn(Tensor<4>) -> Tensor<2> + 'a> {
        let all = self.all(parameters);
        let texts = self.text_features(&all, None);
        Box::new(move |pixels| {
            self.outputs(&all, self.raw_features(&all, pixels, None), texts.clone()).logits
        })
    }
}
