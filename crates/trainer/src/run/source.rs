//! Images of an experiment: listed before a run, loaded when it begins.

use std::path::Path;
use std::sync::Arc;

use regulus_clip::Pretrained;
use regulus_datasets::folders::{self, FolderListing, FolderRequest, LoadedFolder};
use regulus_datasets::loader::SquareStore;
use regulus_datasets::world::{TaskPlan, TestSet, TestSize};
use regulus_datasets::{LabelledImages, Source as Originals, Task};
use regulus_images::Preprocess;

use super::listed::{DataReport, ListedParts, ListedSource, Listings, LoadedSource};
use super::{DataError, Progress};
use crate::class_texts::ClassTexts;
use crate::experiment::DataSpec;
use crate::prompts::tokenize;

/// Where the images come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    World(TaskPlan),
    Folder { listing: FolderListing, templates: Vec<String> },
    Listed(Box<ListedSource>),
}

impl Source {
    /// Lists what a recipe says of data.
    pub fn list(data: &DataSpec, seed: u64, listings: &Listings) -> Result<Self, DataError> {
        let size = |images: usize, development: bool| {
            let set = if development { TestSet::Development } else { TestSet::Final };
            TestSize { images, set }
        };
        Ok(match data {
            DataSpec::Published(published) => Source::Listed(Box::new(ListedSource::published(
                published,
                data.task_name(),
                seed,
                listings,
            )?)),
            DataSpec::Manifest(manifest) => {
                Source::Listed(Box::new(ListedSource::manifest(manifest, data.task_name(), seed)?))
            }
            DataSpec::WorldBias { strength, test_images, development } => {
                Source::World(TaskPlan::bias(*strength, seed, size(*test_images, *development)))
            }
            DataSpec::WorldBaseToNovel { test_images, development } => {
                Source::World(TaskPlan::base_to_novel(seed, size(*test_images, *development)))
            }
            DataSpec::WorldFewShot(few) => {
                let size = size(few.test_images, few.development);
                Source::World(TaskPlan::few_shot(few.shots, seed, size))
            }
            DataSpec::WorldLongTailed(tail) => {
                let size = size(tail.test_images, tail.development);
                Source::World(TaskPlan::long_tailed(tail.largest, tail.ratio, seed, size))
            }
            DataSpec::Folder { path, train_domains, test_domains, hold_out, templates, subset } => {
                let listing = folders::scan(&FolderRequest {
                    train_domains: train_domains.clone(),
                    test_domains: test_domains.clone(),
                    hold_out: *hold_out,
                    ..FolderRequest::new(path)
                })?;
                if listing.tests.is_empty() {
                    return Err(DataError::NothingToTest { path: path.clone() });
                }
                let listing = match subset {
                    Some(subset) => listing.with_training_subset(subset, seed),
                    None => listing,
                };
                Source::Folder { listing, templates: templates.clone() }
            }
        })
    }

    /// The test images alone, as far as these can be had without the training images.
    pub fn tests_only(self) -> Self {
        match self {
            Self::Listed(listed) => Self::Listed(Box::new(listed.tests_only())),
            other => other,
        }
    }

    /// Identifies the images.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Folder { listing, .. } => listing.fingerprint(),
            Self::Listed(listed) => listed.fingerprint().to_owned(),
            _ => "world".to_owned(),
        }
    }
}

/// Loaded images, and what is known of them.
pub(super) struct Images {
    pub task: Task,
    /// The training images before they were resized, where they are not those of `task`.
    pub resized_from: Option<Arc<dyn Originals>>,
    pub report: Option<DataReport>,
    pub listed: Option<ListedParts>,
    pub notices: Vec<String>,
}

/// What loading images needs.
pub(super) struct Loading<'a> {
    pub pretrained: &'a Pretrained,
    pub texts: &'a ClassTexts,
    pub preprocess: &'a Preprocess,
    pub store: &'a SquareStore,
    /// Where rendered images are kept.
    pub rendered: Option<&'a Path>,
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

impl Loading<'_> {
    /// Renders or decodes images, whose class names have to be readable.
    pub fn images(&self, source: Source) -> Result<Images, DataError> {
        let tell = |done, total| (self.progress)(Progress::Data { done, total });
        match source {
            Source::World(plan) => self.of_world(plan.task(self.rendered)),
            Source::Folder { listing, templates } => {
                let names: Vec<String> = listing.classes.iter().map(|class| class.prompt.clone()).collect();
                self.check_words(&names, &templates)?;
                let loaded = folders::load(&listing, self.preprocess, self.store, &tell)?;
                let LoadedFolder { task, originals, report, notices } = loaded;
                Ok(Images {
                    task: Task { templates, ..task },
                    resized_from: Some(Arc::new(originals)),
                    report: Some(DataReport::Folder(report)),
                    listed: None,
                    notices,
                })
            }
            Source::Listed(source) => {
                let (names, templates) = source.words();
                self.check_words(&names, templates)?;
                let loaded = source.load(self.preprocess, self.store, &tell)?;
                let LoadedSource { task, originals, report, parts, notices } = loaded;
                Ok(Images {
                    task,
                    resized_from: Some(originals),
                    report: Some(report),
                    listed: Some(parts),
                    notices,
                })
            }
        }
    }

    fn of_world(&self, task: Task) -> Result<Images, DataError> {
        self.check_texts(&task.class_names, &task.templates)?;
        let (task, resized_from) = for_model(task, self.preprocess);
        Ok(Images { task, resized_from, report: None, listed: None, notices: Vec::new() })
    }

    /// Checks that the model reads every class name in every template.
    fn check_words(&self, names: &[String], templates: &[String]) -> Result<(), DataError> {
        tokenize(self.pretrained, names, templates)?;
        self.check_texts(names, templates)
    }

    fn check_texts(&self, names: &[String], templates: &[String]) -> Result<(), DataError> {
        let template = templates.first().map_or("{}", String::as_str);
        Ok(self.texts.check(self.pretrained, names, template)?)
    }
}

/// Resizes the world's images to what a model expects, and keeps what the training images were before; those that are
/// made for the world take them as they are.
fn for_model(mut task: Task, preprocess: &Preprocess) -> (Task, Option<Arc<dyn Originals>>) {
    let side = task.train.side;
    if (preprocess.resize, preprocess.crop) == (side, side) {
        return (task, None);
    }
    let resized = |images: &LabelledImages| {
        let squares = (0..images.len()).flat_map(|index| preprocess.square(&images.rgb_image(index)).pixels);
        let pixels = squares.collect::<Vec<u8>>().into();
        LabelledImages { side: preprocess.crop, pixels, labels: images.labels.clone() }
    };
    task.tests.iter_mut().for_each(|split| split.images = resized(&split.images));
    let train = resized(&task.train);
    let originals = std::mem::replace(&mut task.train, train);
    (task, Some(Arc::new(originals)))
}
