//! What an experiment needs before it can run: its data listed and its model found, then both loaded.
//!
//! Two stages, so that every fault of a path, a class or a tensor is told before any image is decoded,
//! and so that a finished run is recognised without loading anything.

use std::path::PathBuf;

use burn::tensor::Device;
use regulus_clip::{LoadError, Pretrained, ResolutionError, TokenizeError};
use regulus_datasets::folders::{
    self, FolderError, FolderListing, FolderReport, FolderRequest, LoadedFolder,
};
use regulus_datasets::world::{TestSet, TestSize, base_to_novel_task, bias_task};
use regulus_datasets::{LabelledImages, Originals, Task};
use regulus_images::Preprocess;

use super::Progress;
use crate::experiment::{DataSpec, Experiment};
use crate::prompts::tokenize;

/// Bytes that decoded images may take in memory.
const IMAGE_MEMORY: u64 = 4 << 30;

/// Data or a model that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The image folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The model folder.
    #[error(transparent)]
    Model(#[from] LoadError),
    /// The model cannot be brought to the resolution that was asked for.
    #[error("`model.resolution`: {0}")]
    Resolution(#[from] ResolutionError),
    /// There is nothing to test on.
    #[error(
        "{} has no test images: add a test folder, name test domains, or hold out a share of train", .path.display()
    )]
    NothingToTest {
        /// The image folder.
        path: PathBuf,
    },
    /// A class prompt cannot be tokenised.
    #[error("cannot write the classifier of the task: {0}")]
    Prompt(#[from] TokenizeError),
    /// The experiment cannot be written down.
    #[error("the experiment cannot be written as TOML: {0}")]
    Toml(#[from] toml::ser::Error),
}

/// Checked inputs of a run, nothing decoded yet.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Identity of the experiment on these inputs.
    pub identity: String,
    source: Source,
    device_kind: String,
    commit: Option<String>,
}

/// Where the images come from.
#[derive(Debug, Clone)]
enum Source {
    World { strength: f64, size: TestSize },
    WorldBaseToNovel { size: TestSize },
    Folder { listing: FolderListing, templates: Vec<String> },
}

impl Inputs {
    /// Lists the data and digests the model's files. `device_kind` is part of the identity, such as
    /// `cpu-f32`.
    ///
    /// # Errors
    /// [`DataError`] with the path at fault.
    pub fn check(experiment: &Experiment, device_kind: &str) -> Result<Self, DataError> {
        let spec = experiment.spec();
        let source = match &spec.data {
            DataSpec::WorldBias { strength, test_images, development } => {
                let set = if *development { TestSet::Development } else { TestSet::Final };
                Source::World { strength: *strength, size: TestSize { images: *test_images, set } }
            }
            DataSpec::WorldBaseToNovel { test_images, development } => {
                let set = if *development { TestSet::Development } else { TestSet::Final };
                Source::WorldBaseToNovel { size: TestSize { images: *test_images, set } }
            }
            DataSpec::Folder { path, train_domains, test_domains, hold_out, templates } => {
                let listing = folders::scan(&FolderRequest {
                    train_domains: train_domains.clone(),
                    test_domains: test_domains.clone(),
                    hold_out: *hold_out,
                    ..FolderRequest::new(path)
                })?;
                if listing.tests.is_empty() {
                    return Err(DataError::NothingToTest { path: path.clone() });
                }
                Source::Folder { listing, templates: templates.clone() }
            }
        };
        let model = Pretrained::fingerprint(&spec.model.path)?;
        let data = match &source {
            Source::World { .. } | Source::WorldBaseToNovel { .. } => "world".to_owned(),
            Source::Folder { listing, .. } => listing.fingerprint(),
        };
        let identity = experiment.identity(&model, &data, device_kind)?;
        Ok(Self { identity, source, device_kind: device_kind.to_owned(), commit: None })
    }

    /// Notes which commit of the code makes the run, for its record only.
    #[must_use]
    pub fn by_commit(self, commit: Option<String>) -> Self {
        Self { commit, ..self }
    }

    /// Loads the model and renders or decodes the images.
    ///
    /// # Errors
    /// [`DataError`] with the path at fault.
    pub fn load(
        self,
        experiment: &Experiment,
        device: &Device,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Materials, DataError> {
        let spec = experiment.spec();
        let pretrained = Pretrained::load(&spec.model.path, device)?;
        let pretrained = match spec.model.resolution {
            Some(resolution) => pretrained.at_resolution(resolution)?,
            None => pretrained,
        };
        let preprocess = &pretrained.preprocess;
        let (task, resized_from, report) = match self.source {
            Source::World { strength, size } => for_model(bias_task(strength, spec.seed, size), preprocess),
            Source::WorldBaseToNovel { size } => for_model(base_to_novel_task(spec.seed, size), preprocess),
            Source::Folder { listing, templates } => {
                let names: Vec<String> = listing.classes.iter().map(|class| class.prompt.clone()).collect();
                tokenize(&pretrained, &names, &templates)?;
                let tell = |done, total| progress(Progress::Data { done, total });
                let LoadedFolder { task, originals, report } =
                    folders::load(&listing, preprocess, IMAGE_MEMORY, &tell)?;
                let originals: Box<dyn Originals> = Box::new(originals);
                (Task { templates, ..task }, Some(originals), Some(report))
            }
        };
        let Self { identity, device_kind, commit, .. } = self;
        Ok(Materials { pretrained, task, resized_from, report, identity, device_kind, commit })
    }
}

/// Everything a run works on.
#[derive(Debug)]
pub struct Materials {
    /// The frozen model.
    pub pretrained: Pretrained,
    /// Images and class names.
    pub task: Task,
    /// The training images before they were resized, where they are not those of `task`.
    pub resized_from: Option<Box<dyn Originals>>,
    /// What was skipped or odd among images on disk.
    pub report: Option<FolderReport>,
    /// Identity of the experiment.
    pub identity: String,
    /// Device kind and precision.
    pub device_kind: String,
    /// Commit of the code, where it is known.
    pub commit: Option<String>,
}

impl Materials {
    /// The training images before they were resized.
    pub fn originals(&self) -> &dyn Originals {
        self.resized_from.as_deref().unwrap_or(&self.task.train)
    }
}

/// A task of the world, its images resized to what a model expects; what they were before, if that is something else
/// (the world's own CLIP takes them as they are); and no report.
fn for_model(
    mut task: Task,
    preprocess: &Preprocess,
) -> (Task, Option<Box<dyn Originals>>, Option<FolderReport>) {
    if task.train.side == preprocess.crop {
        return (task, None, None);
    }
    let resized = |images: &LabelledImages| {
        let squares = (0..images.len()).flat_map(|index| preprocess.square(&images.rgb_image(index)).pixels);
        LabelledImages { side: preprocess.crop, pixels: squares.collect(), labels: images.labels.clone() }
    };
    task.tests.iter_mut().for_each(|split| split.images = resized(&split.images));
    let train = resized(&task.train);
    let originals = std::mem::replace(&mut task.train, train);
    (task, Some(Box::new(originals)), None)
}
