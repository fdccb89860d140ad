//! Fine-tuning the whole image tower, plain or regularised: the conventional baseline, label smoothing,
//! constant distillation, ProReg and L2-SP differ only in what they minimise.

use burn::tensor::{Int, Tensor};
use regulus_clip::{Clip, Part, RunningStatistics};
use regulus_losses as losses;
use regulus_losses::TeacherWeight;

use super::head::{Head, LOGIT_SCALE};
use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable};
use crate::method::{Method, Objective};
use crate::parameters::Parameters;
use crate::stages::{self, Stage};
use crate::zero_shot::ZeroShot;

/// What keeps a fine-tuned model near the pre-trained one.
#[derive(Debug, Clone)]
pub enum Regulariser {
    /// Nothing: conventional fine-tuning by cross-entropy.
    None,
    /// Targets mixed with the uniform distribution.
    LabelSmoothing {
        /// Share of the uniform distribution, in [0, 1].
        epsilon: f64,
    },
    /// The same share of distillation for every sample (ProReg's `kd` baseline).
    ConstantDistillation {
        /// Share of the distillation loss, in [0, 1].
        alpha: f64,
        /// Softening of both distributions.
        temperature: f64,
    },
    /// ProReg: a share per sample.
    ProReg {
        /// How the share follows from teacher and student.
        form: TeacherWeight,
        /// Factor on the distillation loss.
        alpha: f64,
        /// Softening of both distributions.
        temperature: f64,
    },
    /// L2-SP (Li et al., ICML 2018): a spring towards the starting weights.
    L2Sp {
        /// Strength for parameters that have a pre-trained start: the tower and a prompt-initialised head.
        alpha: f64,
        /// Strength of the decay to 0 of a fresh or promptless head.
        beta: f64,
    },
}

impl Regulariser {
    /// Whether it compares with the frozen model.
    pub fn needs_teacher(&self) -> bool {
        matches!(self, Self::ConstantDistillation { .. } | Self::ProReg { .. })
    }

    /// What is minimised of the logits of a batch; the spring of [`Self::L2Sp`], which is of parameters, is left out.
    ///
    /// # Shapes
    /// - `student`: `[batch, classes]`; `labels`: `[batch]`
    /// - `teacher`: computes the frozen model's logits, `[batch, classes]`
    pub fn of_logits(
        &self,
        student: Tensor<2>,
        labels: Tensor<1, Int>,
        teacher: impl FnOnce() -> Tensor<2>,
    ) -> Objective {
        match self {
            Self::None | Self::L2Sp { .. } => {
                Objective { loss: losses::cross_entropy(student, labels).mean(), terms: Vec::new() }
            }
            Self::LabelSmoothing { epsilon } => {
                let [_, classes] = student.dims();
                let targets = losses::smooth_labels(labels, classes, *epsilon, &student.device());
                Objective { loss: losses::soft_cross_entropy(student, targets).mean(), terms: Vec::new() }
            }
            Self::ConstantDistillation { alpha, temperature } => {
                let ce = losses::cross_entropy(student.clone(), labels).mean();
                let kd = losses::distillation(student, teacher(), *temperature).mean();
                let loss = ce.clone() * (1.0 - alpha) + kd.clone() * *alpha;
                Objective { loss, terms: vec![("cross_entropy", ce), ("distillation", kd)] }
            }
            Self::ProReg { form, alpha, temperature } => {
                let proreg = losses::proreg(student, teacher(), labels, *form, *alpha, *temperature);
                let terms = vec![
                    ("cross_entropy", proreg.student_ce.mean()),
                    ("distillation", proreg.distillation.mean()),
                    ("teacher_weight", proreg.weights.mean()),
                ];
                Objective { loss: proreg.loss, terms }
            }
        }
    }
}

/// Fine-tuning of the image tower and its classifier head.
#[derive(Debug, Clone)]
pub struct FineTune {
    clip: Clip,
    head: Head,
    regulariser: Regulariser,
    start: Parameters,
    teacher: ZeroShot,
    /// The teacher's logits of every training image, when images are not augmented.
    teacher_logits: Option<Tensor<2>>,
}

impl FineTune {
    /// Fine-tunes `clip` under `head`. `teacher` is the frozen zero-shot model that distillation follows.
    pub fn new(clip: Clip, head: Head, teacher: ZeroShot, regulariser: Regulariser) -> Self {
        let weights = clip.parameters(Part::Image).into_iter();
        let mut start: Parameters =
            weights.filter(|weight| !RunningStatistics::holds(&weight.path)).collect();
        head.add_to(&mut start, clip.embed_dim());
        Self { clip, head, regulariser, start, teacher, teacher_logits: None }
    }

    fn teacher_logits(&self, batch: &Batch) -> Tensor<2> {
        match &self.teacher_logits {
            Some(logits) => batch.rows_of(logits),
            None => stages::within(Stage::Teacher, || self.teacher.classify(batch.pixels.clone())),
        }
    }

    fn spring(&self, parameters: &Parameters, alpha: f64, beta: f64) -> Option<Tensor<1>> {
        let pulled = |fresh: bool| {
            parameters.iter().filter(move |(name, _)| Head::is_fresh(name) == fresh).filter_map(
                move |(name, leaf)| {
                    let origin = match fresh {
                        true => leaf.value.zeros_like(),
                        false => self.start.get(name)?.value.clone(),
                    };
                    Some((leaf.value.clone(), origin))
                },
            )
        };
        let body = losses::l2_sp(pulled(false), alpha);
        let head = losses::l2_sp(pulled(true), beta);
        match (body, head) {
            (Some(body), Some(head)) => Some(body + head),
            (body, head) => body.or(head),
        }
    }
}

impl Method for FineTune {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn prepare(&mut self, images: &ImageSet<'_>) {
        if self.regulariser.needs_teacher() {
            self.teacher_logits = Some(self.teacher.classify_all(images));
        }
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        let student = self.logits(parameters, batch.pixels.clone());
        let Objective { loss, mut terms } =
            self.regulariser.of_logits(student, batch.labels.clone(), || self.teacher_logits(batch));
        let spring = match &self.regulariser {
            Regulariser::L2Sp { alpha, beta } => self.spring(parameters, *alpha, *beta),
            _ => None,
        };
        match spring {
            Some(spring) => {
                terms.extend([("cross_entropy", loss.clone()), ("l2_sp", spring.clone())]);
                Objective { loss: loss + spring, terms }
            }
            None => Objective { loss, terms },
        }
    }

    fn is_head(&self, name: &str) -> bool {
        Head::owns(name)
    }

    /// A trained logit scale is a weight of the merged model.
    fn merged(&self, parameters: &Parameters) -> Result<Merged, NotMergeable> {
        let in_model = |name: &str| name == LOGIT_SCALE || !Head::owns(name);
        let weights = parameters.iter().filter(|(name, _)| in_model(name));
        Ok(Merged {
            weights: weights.map(|(name, leaf)| (name.clone(), leaf.value.clone())).collect(),
            classifier: self.head.merged(parameters)?,
        })
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        let tower = parameters.replacing(|name| !Head::owns(name));
        let features = self.clip.encode_image(pixels, &tower);
        self.head.logits(parameters, features)
    }
}
