//! The raw form of an experiment: what stands in a recipe.

use std::path::PathBuf;

use regulus_clip::Precision;
use regulus_datasets::Subset;
use regulus_kernels::MatmulPrecision;
use serde::{Deserialize, Serialize};

use super::composition::{StageSpec, TeacherSpec};
use super::ensemble_spec::EnsembleSpec;
use super::listed_specs::{ManifestSpec, PublishedSpec};
use super::matmul_spec;
use super::method_spec::MethodSpec;
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
    /// Images of other classes, on whose test splits the zero-shot accuracy is compared before and after training
    /// (default: none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Box<DataSpec>>,
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
    /// How the CPU multiplies matrices of f32 (default f32): in `bf16x3` or `bf16`, on the matrix unit of the processor.
    #[serde(default, skip_serializing_if = "matmul_spec::is_f32", with = "matmul_spec")]
    pub matmul: MatmulPrecision,
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
