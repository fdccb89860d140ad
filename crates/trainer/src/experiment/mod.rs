//! One experiment, from the words of a file to a checked value with an identity.
//!
//! [`ExperimentSpec`] is what a person writes; [`Experiment`] is what the rest of the code sees, and exists
//! only if every value makes sense.

mod adapter_specs;
mod augmentation_check;
mod budget_check;
mod check;
mod compose;
mod composition;
mod ensemble_spec;
mod listed_specs;
mod mask_specs;
mod matmul_spec;
mod method_spec;
mod parse;
mod prograd_spec;
mod prompt_specs;
mod spec;
mod tes_specs;
mod training_check;
mod world_specs;

pub use adapter_specs::{CacheSpec, ClipAdapterSpec, LoraSpec};
pub use check::{Experiment, ExperimentFault, ExperimentFaults};
pub use compose::{ComposeError, Recipe, compose, is_composed};
pub use composition::{JointSpec, StageSpec, TeacherSpec, joint_refusal, staged_refusal};
pub use ensemble_spec::{EnsembleSpace, EnsembleSpec};
pub use listed_specs::{ManifestSpec, PublishedSpec};
pub use mask_specs::{DropoutSpec, MaskTuningSpec};
pub use method_spec::{Averaged, HeadInit, HeadSpec, MethodSpec, SolverSpec, WeightForm};
pub use parse::{SpecError, apply_override, nearest, parse_toml, read_text};
pub use prograd_spec::ProgradSpec;
pub use prompt_specs::{
    CocoopSpec, CoopSpec, IvlpSpec, KgcoopSpec, MapleSpec, PromptsrcSpec, TemplateSet, TemplatesSpec, VptSpec,
};
pub use spec::{DataSpec, ExperimentSpec, ModelSpec};
pub use tes_specs::{BertSpec, FeaturesSpec, NamedText, TesSpec, TextSpec};
pub use training_check::check_training_config;
pub use world_specs::{FewShotSpec, LongTailedSpec};

/// Raised whenever the numbers of a run change, so that older results are not mistaken for new ones.
pub const RESULTS_VERSION: u32 = 6;
