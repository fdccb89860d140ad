//! From the words of a spec to a composition of parts over a loaded model.

use std::sync::Arc;

use burn::tensor::Tensor;
use regulus_losses::TeacherWeight;

use super::build::{fine_tuning_head, zero_shot};
use super::build_masks::{settings, targets};
use super::build_prompts::{Learned, PromptBuilder};
use super::{Materials, RunError};
use crate::batches::{ImageSet, Sampler};
use crate::experiment::{CacheSpec, ExperimentSpec, HeadSpec, LoraSpec, MethodSpec, TeacherSpec, WeightForm};
use crate::methods::adaptation::{
    Adaptation, Bottleneck, Cache, CacheSettings, Classifier, Composition, LowRank, LowRankSettings, Placed,
    WholeTower,
};
use crate::methods::prompts::PromptRegulariser;
use crate::methods::{Masks, Regulariser, SeededDraws};
use crate::parameters::Parameters;
use crate::training_groups::prefix_of;
use crate::zero_shot::FROZEN_CHUNK;

/// What a composition is built from.
pub(super) struct AdaptationBuilder<'a> {
    pub spec: &'a ExperimentSpec,
    pub materials: &'a Materials,
    /// The classes to tell apart.
    pub class_names: &'a [String],
    /// What caches are made of; not needed where parameters are put in afterwards.
    pub training_images: Option<&'a ImageSet<'a>>,
}

/// A cache that is made when everything else is there.
struct Cached<'a> {
    prefix: String,
    spec: &'a CacheSpec,
}

impl<'a> AdaptationBuilder<'a> {
    /// The method of the experiment on top of what earlier stages have trained, whose values are `fixed`.
    pub(super) fn build(&self, fixed: Parameters) -> Result<Adaptation, RunError> {
        let written = self.prompts().written()?.written().clone();
        let mut composition = Composition {
            frozen: zero_shot(self.materials, self.class_names)?,
            written,
            tower: None,
            low_rank: None,
            masks: None,
            draws: Arc::new(SeededDraws { seed: self.spec.seed }),
            prompts: None,
            regulariser: PromptRegulariser::None,
            classifier: Placed { prefix: String::new(), part: Classifier::Cosine },
            objective: Regulariser::None,
            fixed,
            follows_fixed: self.spec.teacher == TeacherSpec::Stage1,
        };
        let earlier = self.spec.earlier();
        let alone = earlier.is_empty() && !matches!(self.spec.method, MethodSpec::Joint(_));
        let stages = earlier.into_iter().map(|stage| (&stage.method, false));
        let mut cached = None;
        for (method, trained) in stages.chain([(&self.spec.method, true)]) {
            let together = matches!(method, MethodSpec::Joint(_));
            for (name, part) in method.parts() {
                let prefix = if alone { String::new() } else { prefix_of(&name) };
                if trained {
                    composition.objective = objective(part).unwrap_or(composition.objective);
                }
                self.add(&mut composition, part, &prefix, trained, together)?;
                if let MethodSpec::TipAdapter(spec) | MethodSpec::TipAdapterF(spec) = part {
                    cached = Some(Cached { prefix, spec });
                }
            }
        }
        let adaptation = Adaptation::new(composition);
        match cached {
            Some(cached) => self.with_cache(adaptation, cached),
            None => Ok(adaptation),
        }
    }

    fn prompts(&self) -> PromptBuilder<'a> {
        PromptBuilder { materials: self.materials, class_names: self.class_names, seed: self.spec.seed }
    }

    /// Adds the part of one method. `together` says that it is trained with others, where an objective brings no
    /// weights.
    fn add(
        &self,
        composition: &mut Composition,
        method: &MethodSpec,
        prefix: &str,
        trained: bool,
        together: bool,
    ) -> Result<(), RunError> {
        let prefix = prefix.to_owned();
        let clip = &self.materials.pretrained.clip;
        match method {
            MethodSpec::MaskTuning(spec) => {
                let part = Masks::new(clip, targets(spec), settings(spec))?;
                composition.masks = Some(Placed { prefix, part });
            }
            MethodSpec::Lora(LoraSpec { towers, matrices, rank, alpha, dropout }) => {
                let (towers, matrices) = (*towers, matrices.clone());
                let (rank, alpha, dropout) = (*rank, *alpha, *dropout);
                let settings = LowRankSettings { towers, matrices, rank, alpha, dropout };
                let part = LowRank::new(clip, settings, self.spec.seed)?;
                composition.low_rank = Some(Placed { prefix, part });
            }
            MethodSpec::ClipAdapter(spec) => {
                let (embed, device) = (clip.embed_dim(), clip.device());
                let layers = Bottleneck::new(embed, spec.reduction, spec.ratio, self.spec.seed, &device);
                composition.classifier = Placed { prefix, part: Classifier::Bottleneck(layers) };
            }
            MethodSpec::Kd { head, .. } | MethodSpec::Proreg { head, .. } if !together => {
                composition.tower = Some(Placed { prefix, part: self.tower(head)? });
            }
            MethodSpec::Finetune { head, .. } => {
                composition.tower = Some(Placed { prefix, part: self.tower(head)? });
            }
            _ => {
                if let Some(Learned { prompts, regulariser }) = self.prompts().prompts_of(method)? {
                    composition.prompts = Some(Placed { prefix, part: prompts });
                    if trained {
                        composition.regulariser = regulariser;
                    }
                }
            }
        }
        Ok(())
    }

    fn tower(&self, head: &HeadSpec) -> Result<WholeTower, RunError> {
        let head = fine_tuning_head(self.materials, self.class_names, self.spec.seed, head)?;
        Ok(WholeTower::new(&self.materials.pretrained.clip, &head))
    }

    fn with_cache(&self, adaptation: Adaptation, cached: Cached<'_>) -> Result<Adaptation, RunError> {
        let Cached { prefix, spec } = cached;
        let settings = CacheSettings { alpha: spec.alpha, beta: spec.beta };
        let classes = self.class_names.len();
        let clip = &self.materials.pretrained.clip;
        let (features, labels) = match self.training_images {
            Some(images) => {
                let everything: Vec<usize> = (0..images.len()).collect();
                (self.views(&adaptation, spec, images)?, images.labels(&everything))
            }
            None => {
                let device = clip.device();
                (Tensor::zeros([1, clip.embed_dim()], &device), Tensor::from_data([0i64], &device))
            }
        };
        let cache = Cache::new(settings, classes, features, labels);
        Ok(adaptation.with_classifier(Placed { prefix, part: Classifier::Cache(cache) }))
    }

    /// Unit features of all training images, `[images, embed]`: the mean over random views of each.
    fn views(
        &self,
        adaptation: &Adaptation,
        spec: &CacheSpec,
        images: &ImageSet<'_>,
    ) -> Result<Tensor<2>, RunError> {
        let sampler = Sampler {
            images: *images,
            originals: self.materials.originals(),
            seed: self.spec.seed,
            batch: FROZEN_CHUNK,
            augmentation: spec.augmentation.clone(),
        };
        let mut sum: Option<Tensor<2>> = None;
        for view in 0..spec.views {
            let mut rows = Vec::new();
            for pixels in sampler.in_order(view, FROZEN_CHUNK) {
                rows.push(adaptation.initial_features(pixels.map_err(RunError::Cached)?));
            }
            let features = Tensor::cat(rows, 0);
            sum = Some(match sum {
                Some(sum) => sum + features,
                None => features,
            });
        }
        let clip = &self.materials.pretrained.clip;
        let sum = sum.unwrap_or_else(|| Tensor::zeros([images.len(), clip.embed_dim()], &clip.device()));
        Ok(regulus_clip::normalise(sum))
    }
}

/// What a method minimises in the place of cross-entropy, if it does.
pub(super) fn objective(method: &MethodSpec) -> Option<Regulariser> {
    match method {
        MethodSpec::Kd { alpha, temperature, .. } => {
            Some(Regulariser::ConstantDistillation { alpha: *alpha, temperature: *temperature })
        }
        MethodSpec::Proreg { form, gamma, alpha, temperature, .. } => Some(Regulariser::ProReg {
            form: teacher_weight(*form, *gamma),
            alpha: *alpha,
            temperature: *temperature,
        }),
        MethodSpec::Finetune { label_smoothing, .. } if *label_smoothing > 0.0 => {
            Some(Regulariser::LabelSmoothing { epsilon: *label_smoothing })
        }
        _ => None,
    }
}

fn teacher_weight(form: WeightForm, gamma: Option<f64>) -> TeacherWeight {
    match form {
        WeightForm::Prob => TeacherWeight::Prob,
        WeightForm::Exp10 => TeacherWeight::Exp10,
        WeightForm::Power => TeacherWeight::Power { gamma: gamma.unwrap_or(1.0) },
    }
}
