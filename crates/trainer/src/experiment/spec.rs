//! The raw form of an experiment: what stands in a recipe.

use std::path::PathBuf;

use regulus_clip::Precision;
use regulus_datasets::Subset;
use serde::{Deserialize, Serialize};

use super::adapter_specs::{CacheSpec, ClipAdapterSpec, LoraSpec};
use super::composition::{JointSpec, StageSpec, TeacherSpec};
use super::ensemble_spec::EnsembleSpec;
use super::listed_specs::{ManifestSpec, PublishedSpec};
use super::mask_specs::MaskTuningSpec;
use super::prograd_spec::ProgradSpec;
use super::prompt_specs::{CocoopSpec, CoopSpec, IvlpSpec, KgcoopSpec, MapleSpec, PromptsrcSpec, VptSpec};
use super::tes_specs::TesSpec;
use super::world_specs::{FewShotSpec, LongTailedSpec};
use crate::training::TrainingConfig;

/// One run: a model, data, a method and a seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentSpec {
    /// Seed of everything random in the run: training data of the built-in world, initialisation, order.
    pub seed: u64,
    /// The pre-trained model.
    pub model: ModelSpec,
    /// What it is trained and tested on.
    pub data: DataSpec,
    /// What is trained and how it is regularised.
    pub method: MethodSpec,
    /// How to optimise; absent for methods that take no gradient steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingConfig>,
    /// Mixtures with the zero-shot model that are tested too (default: none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<EnsembleSpec>,
    /// What is trained first, and frozen then (default: nothing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<StageSpec>>,
    /// Which model regularisers follow (default: the original one).
    #[serde(default, skip_serializing_if = "TeacherSpec::is_original")]
    pub teacher: TeacherSpec,
}

/// Where the pre-trained model lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// A model folder or a weights file of Hugging Face, OpenAI or open_clip.
    pub path: PathBuf,
    /// Side of the images in pixels, where it is not the model's own: the positional embedding is interpolated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<usize>,
    /// A folder or weights file of an image encoder of any pre-training, which `tes` and `finetune` train in the place
    /// of the model's image tower. The model then only writes texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone: Option<PathBuf>,
}

/// Training and test images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DataSpec {
    /// Contextual bias in the built-in world: eight classes, each tied to one background.
    WorldBias {
        /// Probability that a training image shows its class's background, in [0, 1].
        strength: f64,
        /// Test images per split (default 2000).
        #[serde(default = "default_test_images")]
        test_images: usize,
        /// Use the development test sets, on which hyper-parameters are chosen (default false).
        #[serde(default)]
        development: bool,
    },
    /// Base to novel in the built-in world: 16 shots of ten classes, tested on these and on ten others.
    WorldBaseToNovel {
        /// Test images per split (default 2000).
        #[serde(default = "default_test_images")]
        test_images: usize,
        /// Use the development test sets, on which hyper-parameters are chosen (default false).
        #[serde(default)]
        development: bool,
    },
    /// A few images per class in the built-in world.
    WorldFewShot(FewShotSpec),
    /// A long tail of classes in the built-in world.
    WorldLongTailed(LongTailedSpec),
    /// A published data set under a protocol.
    Published(PublishedSpec),
    /// Images of a manifest under a protocol.
    Manifest(ManifestSpec),
    /// Image folders on disk.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Domains to train on, for `<domain>/<class>/*` layouts.
        #[serde(default)]
        train_domains: Vec<String>,
        /// Domains to test on.
        #[serde(default)]
        test_domains: Vec<String>,
        /// Share of the training images held out, stratified, as in-distribution test split (default 0.1).
        #[serde(default = "default_hold_out")]
        hold_out: f64,
        /// Prompt templates with `{}` for the class name (default "a photo of a {}").
        #[serde(default = "default_templates")]
        templates: Vec<String>,
        /// Which of the training images are used, chosen by the seed (default: all).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subset: Option<Subset>,
    },
}

pub(super) fn default_test_images() -> usize {
    2000
}
fn default_hold_out() -> f64 {
    0.1
}
fn default_templates() -> Vec<String> {
    vec!["a photo of a {}".into()]
}

/// How many templates a text classifier is written with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Averaged {
    /// The first template of the data.
    #[default]
    Single,
    /// All templates of the data, unit features averaged.
    Ensemble,
}

/// What the classifier head starts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadInit {
    /// Text features of the class prompts.
    #[default]
    Prompt,
    /// Random weights, one linear layer.
    Fresh,
    /// Random weights, ProReg's network of two linear layers.
    Promptless,
}

/// The classifier head of a fine-tuned tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSpec {
    /// What it starts from (default `prompt`).
    #[serde(default)]
    pub init: HeadInit,
    /// Whether the text features are trained (default true; the layers of other heads always are).
    #[serde(default = "yes")]
    pub trained: bool,
    /// Whether the logit scale is trained (default false).
    #[serde(default)]
    pub scale_trained: bool,
}

fn yes() -> bool {
    true
}

impl Default for HeadSpec {
    fn default() -> Self {
        Self { init: HeadInit::Prompt, trained: true, scale_trained: false }
    }
}

/// The form of ProReg's sample weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightForm {
    /// Probability ratio.
    Prob,
    /// The active form of the released code.
    Exp10,
    /// Inverse-loss power; takes `gamma`.
    Power,
}

/// How the linear probe is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SolverSpec {
    /// Gradient steps of `[training]`.
    Sgd,
    /// The exact optimum of the L2-regularised objective.
    Lbfgs,
}

/// A method with its hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MethodSpec {
    /// The frozen model with a classifier written in words.
    ZeroShot {
        /// One template or all (default `single`).
        #[serde(default)]
        templates: Averaged,
    },
    /// A linear classifier on frozen features.
    LinearProbe {
        /// How it is fitted.
        solver: SolverSpec,
        /// Inverse regularisation strength of `lbfgs` (default 1).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        c: Option<f64>,
    },
    /// Fine-tuning from the head of a linear probe: LP-FT.
    LpFt {
        /// Inverse regularisation strength of the probe (default 1).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        c: Option<f64>,
    },
    /// Conventional fine-tuning by cross-entropy.
    Finetune {
        /// Classifier head.
        #[serde(default)]
        head: HeadSpec,
        /// Share of the uniform distribution in the targets (default 0).
        #[serde(default)]
        label_smoothing: f64,
    },
    /// Fine-tuning with one share of distillation for every sample.
    Kd {
        /// Classifier head.
        #[serde(default)]
        head: HeadSpec,
        /// Share of distillation.
        alpha: f64,
        /// Temperature (default 1).
        #[serde(default = "unit")]
        temperature: f64,
    },
    /// ProReg: a share of distillation per sample.
    Proreg {
        /// Classifier head.
        #[serde(default)]
        head: HeadSpec,
        /// Form of the weight.
        form: WeightForm,
        /// Sharpness of the form `power`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gamma: Option<f64>,
        /// Factor on the distillation loss.
        alpha: f64,
        /// Temperature (default 1).
        #[serde(default = "unit")]
        temperature: f64,
    },
    /// Fine-tuning with a spring towards the starting weights.
    L2Sp {
        /// Classifier head.
        #[serde(default)]
        head: HeadSpec,
        /// Strength towards the pre-trained weights.
        alpha: f64,
        /// Strength of the decay of a fresh head (default 0).
        #[serde(default)]
        beta: f64,
    },
    /// Fine-tuning guided by the texts of the classes.
    Tes(TesSpec),
    /// Context vectors in the text.
    Coop(CoopSpec),
    /// Context vectors near the hand-written prompts.
    Kgcoop(KgcoopSpec),
    /// Context vectors under projected gradients.
    Prograd(ProgradSpec),
    /// Context vectors that depend on the image.
    Cocoop(CocoopSpec),
    /// Prompts of the image tower.
    Vpt(VptSpec),
    /// Prompts of both towers, independent of each other.
    Ivlp(IvlpSpec),
    /// Prompts of both towers, coupled.
    Maple(MapleSpec),
    /// Prompts of both towers, tied to the frozen model.
    Promptsrc(PromptsrcSpec),
    /// Binary masks on weights of the image tower.
    #[serde(rename = "r-mt")]
    MaskTuning(MaskTuningSpec),
    /// Low-rank updates of the attention's matrices.
    Lora(LoraSpec),
    /// A cache of the training images.
    TipAdapter(CacheSpec),
    /// A cache of the training images whose keys are trained.
    #[serde(rename = "tip-adapter-f")]
    TipAdapterF(CacheSpec),
    /// Two small layers behind the image tower.
    ClipAdapter(ClipAdapterSpec),
    /// Several methods, trained together.
    Joint(JointSpec),
}

fn unit() -> f64 {
    1.0
}

impl ExperimentSpec {
    /// What the towers compute in.
    pub fn precision(&self) -> Precision {
        self.training.as_ref().map_or(Precision::F32, |training| training.precision)
    }
}

impl DataSpec {
    /// Names of the test splits, where they are known before the data is read.
    pub fn known_splits(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::WorldBias { .. } => Some(&["id", "ood"]),
            Self::WorldBaseToNovel { .. } => Some(&["base", "novel"]),
            Self::WorldFewShot(_) | Self::WorldLongTailed(_) => Some(&["test"]),
            Self::Published(spec) => Self::splits_of(&spec.protocol),
            Self::Manifest(spec) => Self::splits_of(&spec.protocol),
            Self::Folder { .. } => None,
        }
    }

    /// Short name of the task for folders and tables.
    pub fn task_name(&self) -> String {
        match self {
            Self::WorldBias { strength, .. } => format!("world-bias-{strength}"),
            Self::WorldBaseToNovel { .. } => "world-base-to-novel".into(),
            Self::WorldFewShot(spec) => format!("world-few-shot-{}", spec.shots),
            Self::WorldLongTailed(spec) => format!("world-long-tailed-{}-{}", spec.largest, spec.ratio),
            Self::Published(spec) => Self::listed_name(&spec.name, &spec.protocol),
            Self::Manifest(spec) => {
                let name = spec.path.file_stem().map_or_else(|| "manifest".into(), |s| s.to_string_lossy());
                Self::listed_name(&name, &spec.protocol)
            }
            Self::Folder { path, test_domains, subset, .. } => {
                let name = path.file_name().map_or_else(|| "folder".into(), |name| name.to_string_lossy());
                let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                let domains: String = test_domains.iter().map(|domain| format!("-{domain}")).collect();
                let subset = subset.map(|subset| format!("-{subset}")).unwrap_or_default();
                format!("{name}{domains}{subset}")
            }
        }
    }
}

impl MethodSpec {
    /// Name and variant, for folders and tables: `proreg-prob`.
    pub fn label(&self) -> String {
        let name = self.name();
        match self {
            Self::ZeroShot { templates: Averaged::Ensemble } => format!("{name}-ensemble"),
            Self::LinearProbe { solver: SolverSpec::Lbfgs, .. } => format!("{name}-lbfgs"),
            Self::LinearProbe { solver: SolverSpec::Sgd, .. } => format!("{name}-sgd"),
            Self::Finetune { head, label_smoothing } => {
                let init = match head.init {
                    HeadInit::Prompt => "",
                    HeadInit::Fresh => "-fresh",
                    HeadInit::Promptless => "-promptless",
                };
                let smoothed = if *label_smoothing > 0.0 { "-smoothed" } else { "" };
                format!("{name}{init}{smoothed}")
            }
            Self::Proreg { form: WeightForm::Prob, .. } => format!("{name}-prob"),
            Self::Proreg { form: WeightForm::Exp10, .. } => format!("{name}-exp10"),
            Self::Proreg { form: WeightForm::Power, .. } => format!("{name}-power"),
            Self::MaskTuning(spec) => spec.label().to_owned(),
            Self::Joint(spec) => spec.label(),
            Self::Tes(spec) => spec.label(),
            _ => name.to_owned(),
        }
    }

    /// Name of the method as recipes write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ZeroShot { .. } => "zero-shot",
            Self::LinearProbe { .. } => "linear-probe",
            Self::LpFt { .. } => "lp-ft",
            Self::Finetune { .. } => "finetune",
            Self::Kd { .. } => "kd",
            Self::Proreg { .. } => "proreg",
            Self::L2Sp { .. } => "l2-sp",
            Self::Tes(_) => "tes",
            Self::Coop(_) => "coop",
            Self::Kgcoop(_) => "kgcoop",
            Self::Prograd(_) => "prograd",
            Self::Cocoop(_) => "cocoop",
            Self::Vpt(_) => "vpt",
            Self::Ivlp(_) => "ivlp",
            Self::Maple(_) => "maple",
            Self::Promptsrc(_) => "promptsrc",
            Self::MaskTuning(_) => "r-mt",
            Self::Lora(_) => "lora",
            Self::TipAdapter(_) => "tip-adapter",
            Self::TipAdapterF(_) => "tip-adapter-f",
            Self::ClipAdapter(_) => "clip-adapter",
            Self::Joint(_) => "joint",
        }
    }

    /// Whether the trained model classifies by the names of classes, so that it can be tested on others than it was
    /// trained on.
    pub fn reads_class_names(&self) -> bool {
        match self {
            Self::LinearProbe { .. }
            | Self::LpFt { .. }
            | Self::Tes(_)
            | Self::TipAdapter(_)
            | Self::TipAdapterF(_) => false,
            // Beside others, an objective has no head.
            Self::Joint(joint) => joint.parts.values().all(|part| match part {
                Self::Kd { .. } | Self::Proreg { .. } => true,
                part => part.reads_class_names(),
            }),
            Self::Finetune { head, .. }
            | Self::Kd { head, .. }
            | Self::Proreg { head, .. }
            | Self::L2Sp { head, .. } => head.init == HeadInit::Prompt && !head.trained,
            Self::Coop(spec) => !spec.per_class,
            Self::ZeroShot { .. }
            | Self::Kgcoop(_)
            | Self::Prograd(_)
            | Self::Cocoop(_)
            | Self::Vpt(_)
            | Self::Ivlp(_)
            | Self::Maple(_)
            | Self::Promptsrc(_)
            | Self::MaskTuning(_)
            | Self::Lora(_)
            | Self::ClipAdapter(_) => true,
        }
    }

    /// Whether all weights of the image tower are trained, so that one can ask by how much.
    pub fn fine_tunes_image_tower(&self) -> bool {
        matches!(
            self,
            Self::Finetune { .. }
                | Self::Kd { .. }
                | Self::Proreg { .. }
                | Self::L2Sp { .. }
                | Self::LpFt { .. }
        )
    }

    /// Whether the seed changes the result on a task: everything does that looks at training images.
    pub fn depends_on_seed(&self) -> bool {
        !matches!(self, Self::ZeroShot { .. })
    }

    /// Whether the method takes gradient steps and therefore needs `[training]`.
    pub fn takes_steps(&self) -> bool {
        !matches!(
            self,
            Self::ZeroShot { .. } | Self::LinearProbe { solver: SolverSpec::Lbfgs, .. } | Self::TipAdapter(_)
        )
    }
}
