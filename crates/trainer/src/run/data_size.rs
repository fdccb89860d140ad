//! What is known of a run's data before an image is decoded or rendered: enough to say what the run will cost.

use regulus_datasets::long_tailed_counts;
use regulus_datasets::world::parameters::{BASE_TO_NOVEL_SHOTS, BIAS_TRAIN_PER_CLASS};
use regulus_datasets::world::{ACTIVE, BIAS_CLASSES, CLASSES, SIDE, TEMPLATES, TestSize};

use super::Inputs;
use super::source::Source;

/// Numbers and names of a run's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSize {
    /// Number of classes that a method learns.
    pub classes: usize,
    /// Names of the classes, or more.
    pub class_names: Vec<String>,
    /// Templates of their texts.
    pub templates: Vec<String>,
    /// Number of training images.
    pub train: usize,
    /// Number of images of all test splits.
    pub tests: usize,
    /// Side of the training images, where they stay in memory besides what a model sees.
    pub original_side: Option<usize>,
    /// Bytes that decoded images may take in a cache instead of memory, if there is one.
    pub cache: Option<u64>,
}

impl Inputs {
    /// What has been listed.
    pub fn data_size(&self) -> DataSize {
        let world = |classes: usize, train: usize, splits: usize, size: &TestSize| DataSize {
            classes,
            class_names: CLASSES.map(str::to_owned).to_vec(),
            templates: TEMPLATES.map(str::to_owned).to_vec(),
            train,
            tests: splits * size.images.div_ceil(classes) * classes,
            original_side: Some(SIDE),
            cache: None,
        };
        match &self.source {
            Source::World { size, .. } => {
                let classes = BIAS_CLASSES.len();
                world(classes, classes * BIAS_TRAIN_PER_CLASS, 2, size)
            }
            Source::WorldBaseToNovel { size } => world(ACTIVE / 2, ACTIVE / 2 * BASE_TO_NOVEL_SHOTS, 2, size),
            Source::WorldFewShot { shots, size } => world(ACTIVE, ACTIVE * shots, 1, size),
            Source::WorldLongTailed { largest, ratio, size } => {
                world(ACTIVE, long_tailed_counts(ACTIVE, *largest, *ratio).iter().sum(), 1, size)
            }
            Source::Listed(listed) => DataSize { cache: self.cache_budget(), ..listed.data_size() },
            Source::Folder { listing, templates } => DataSize {
                classes: listing.classes.len(),
                class_names: listing.classes.iter().map(|class| class.prompt.clone()).collect(),
                templates: templates.clone(),
                train: listing.train.files.len(),
                tests: listing.tests.iter().map(|split| split.files.len()).sum(),
                original_side: None,
                cache: self.cache_budget(),
            },
        }
    }
}
