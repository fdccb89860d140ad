//! What is known of a run's data before an image is decoded or rendered: enough to say what the run will cost.

use regulus_datasets::world::{CLASSES, SIDE, TEMPLATES};

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
        match &self.source {
            Source::World(plan) => DataSize {
                classes: plan.classes.len(),
                class_names: CLASSES.map(str::to_owned).to_vec(),
                templates: TEMPLATES.map(str::to_owned).to_vec(),
                train: plan.train.len(),
                tests: plan.tests.iter().map(|test| test.split.len()).sum(),
                original_side: Some(SIDE),
                cache: None,
            },
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
