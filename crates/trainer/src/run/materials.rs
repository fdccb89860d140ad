//! What an experiment needs before it can run: its data listed and its model found, then both loaded.
//!
//! Two stages, so that every fault of a path, a class or a tensor is told before any image is decoded,
//! and so that a finished run is recognised without loading anything.

use std::path::PathBuf;

use burn::tensor::Device;
use regulus_clip::{
    BackboneError, LoadError, LoadedBackbone, Precision, Pretrained, ResolutionError, TokenizeError,
};
use regulus_datasets::folders::{self, FolderError, FolderListing, FolderRequest, LoadedFolder};
use regulus_datasets::world::{
    TestSet, TestSize, base_to_novel_task, bias_task, few_shot_task, long_tailed_task,
};
use regulus_datasets::{LabelledImages, Originals, Task};
use regulus_images::Preprocess;

use super::Progress;
use super::listed::{DataReport, ListedError, ListedParts, ListedSource, LoadedSource};
use crate::adapter::AdapterCard;
use crate::class_texts::{ClassTexts, TextError};
use crate::device::{PrecisionError, check_precision};
use crate::experiment::{DataSpec, Experiment, ExperimentSpec, TextSpec};
use crate::prompts::tokenize;

/// Bytes that decoded images may take in memory.
pub(super) const IMAGE_MEMORY: u64 = 4 << 30;

/// Data or a model that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The image folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A published data set or a manifest.
    #[error(transparent)]
    Listed(#[from] ListedError),
    /// The model folder.
    #[error(transparent)]
    Model(#[from] LoadError),
    /// The model cannot be brought to the resolution that was asked for.
    #[error("`model.resolution`: {0}")]
    Resolution(#[from] ResolutionError),
    /// The image encoder that takes the place of the model's.
    #[error("`model.backbone`: {0}")]
    Backbone(#[from] BackboneError),
    /// The texts that guide a method.
    #[error(transparent)]
    Texts(#[from] TextError),
    /// The device lacks the number format that was asked for.
    #[error("`training.precision`: {0}")]
    Precision(#[from] PrecisionError),
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
    pub(super) source: Source,
    backend: String,
    commit: Option<String>,
}

/// Where the images come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    World { strength: f64, size: TestSize },
    WorldBaseToNovel { size: TestSize },
    WorldFewShot { shots: usize, size: TestSize },
    WorldLongTailed { largest: usize, ratio: f64, size: TestSize },
    Folder { listing: FolderListing, templates: Vec<String> },
    Listed(Box<ListedSource>),
}

impl Inputs {
    /// Lists the data and digests the model's files. The device's backend, such as `cpu`
    /// ([`kind`](crate::device::kind)), is part of the identity.
    ///
    /// # Errors
    /// [`DataError`] with the path at fault.
    pub fn check(experiment: &Experiment, backend: &str) -> Result<Self, DataError> {
        let spec = experiment.spec();
        let size = |images: usize, development: bool| {
            let set = if development { TestSet::Development } else { TestSet::Final };
            TestSize { images, set }
        };
        let source = match &spec.data {
            DataSpec::Published(data) => {
                Source::Listed(Box::new(ListedSource::published(data, spec.data.task_name(), spec.seed)?))
            }
            DataSpec::Manifest(data) => {
                Source::Listed(Box::new(ListedSource::manifest(data, spec.data.task_name(), spec.seed)?))
            }
            DataSpec::WorldBias { strength, test_images, development } => {
                Source::World { strength: *strength, size: size(*test_images, *development) }
            }
            DataSpec::WorldBaseToNovel { test_images, development } => {
                Source::WorldBaseToNovel { size: size(*test_images, *development) }
            }
            DataSpec::WorldFewShot(data) => {
                Source::WorldFewShot { shots: data.shots, size: size(data.test_images, data.development) }
            }
            DataSpec::WorldLongTailed(data) => Source::WorldLongTailed {
                largest: data.largest,
                ratio: data.ratio,
                size: size(data.test_images, data.development),
            },
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
                    Some(subset) => listing.with_training_subset(subset, spec.seed),
                    None => listing,
                };
                Source::Folder { listing, templates: templates.clone() }
            }
        };
        let mut model = Pretrained::fingerprint(&spec.model.path)?;
        if let Some(path) = &spec.model.backbone {
            model += &LoadedBackbone::fingerprint(path)?;
        }
        if let Some(tes) = spec.method.tes() {
            model += &ClassTexts::fingerprint(&tes.text)?;
        }
        let data = match &source {
            Source::Folder { listing, .. } => listing.fingerprint(),
            Source::Listed(listed) => listed.fingerprint().to_owned(),
            _ => "world".to_owned(),
        };
        let identity = experiment.identity(&model, &data, &device_kind(backend, spec.precision()))?;
        Ok(Self { identity, source, backend: backend.to_owned(), commit: None })
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
        let Models { pretrained, backbone, texts } = Models::load(spec, &self.backend, device)?;
        let preprocess = backbone.as_ref().map_or(&pretrained.preprocess, |loaded| &loaded.preprocess);
        let readable = |names: &[String], templates: &[String]| {
            texts.check(&pretrained, names, templates.first().map_or("{}", String::as_str))
        };
        let of_world = |task: Task| -> Result<_, DataError> {
            readable(&task.class_names, &task.templates)?;
            let (task, resized_from) = for_model(task, preprocess);
            Ok((task, resized_from, None))
        };
        let mut listed = None;
        let (task, resized_from, report) = match self.source {
            Source::World { strength, size } => of_world(bias_task(strength, spec.seed, size))?,
            Source::WorldBaseToNovel { size } => of_world(base_to_novel_task(spec.seed, size))?,
            Source::WorldFewShot { shots, size } => of_world(few_shot_task(shots, spec.seed, size))?,
            Source::WorldLongTailed { largest, ratio, size } => {
                of_world(long_tailed_task(largest, ratio, spec.seed, size))?
            }
            Source::Folder { listing, templates } => {
                let names: Vec<String> = listing.classes.iter().map(|class| class.prompt.clone()).collect();
                tokenize(&pretrained, &names, &templates)?;
                readable(&names, &templates)?;
                let tell = |done, total| progress(Progress::Data { done, total });
                let LoadedFolder { task, originals, report } =
                    folders::load(&listing, preprocess, IMAGE_MEMORY, &tell)?;
                let originals: Box<dyn Originals> = Box::new(originals);
                (Task { templates, ..task }, Some(originals), Some(DataReport::Folder(report)))
            }
            Source::Listed(source) => {
                let (names, templates) = source.words();
                tokenize(&pretrained, &names, templates)?;
                readable(&names, templates)?;
                let tell = |done, total| progress(Progress::Data { done, total });
                let LoadedSource { task, originals, report, parts } = source.load(preprocess, &tell)?;
                listed = Some(parts);
                (task, Some(originals), Some(report))
            }
        };
        let Self { identity, backend, commit, .. } = self;
        let device_kind = device_kind(&backend, spec.precision());
        Ok(Materials {
            pretrained,
            backbone,
            texts,
            task,
            resized_from,
            report,
            listed,
            identity,
            device_kind,
            commit,
        })
    }
}

/// What an experiment needs beside images.
struct Models {
    pretrained: Pretrained,
    backbone: Option<LoadedBackbone>,
    texts: ClassTexts,
}

impl Models {
    fn load(spec: &ExperimentSpec, backend: &str, device: &Device) -> Result<Self, DataError> {
        check_precision(device, backend, spec.precision())?;
        let pretrained = Pretrained::load(&spec.model.path, device)?;
        let pretrained = match spec.model.resolution {
            Some(resolution) => pretrained.at_resolution(resolution)?,
            None => pretrained,
        };
        let clip = pretrained.clip.clone().computing_in(spec.precision());
        let pretrained = Pretrained { clip, ..pretrained };
        let backbone =
            spec.model.backbone.as_ref().map(|path| LoadedBackbone::load(path, device)).transpose()?;
        let texts = match spec.method.tes() {
            Some(tes) => ClassTexts::load(&tes.text, device)?,
            None => ClassTexts::load(&TextSpec::default(), device)?,
        };
        Ok(Self { pretrained, backbone, texts })
    }
}

/// Backend and precision in one word, such as `cpu-f32`.
fn device_kind(backend: &str, precision: Precision) -> String {
    format!("{backend}-{}", precision.name())
}

/// Everything a run works on.
#[derive(Debug)]
pub struct Materials {
    /// The frozen model.
    pub pretrained: Pretrained,
    /// The image encoder that takes the place of the model's image tower, if one does.
    pub backbone: Option<LoadedBackbone>,
    /// What makes features of the classes' texts, for methods that are guided by them.
    pub texts: ClassTexts,
    /// Images and class names.
    pub task: Task,
    /// The training images before they were resized, where they are not those of `task`.
    pub resized_from: Option<Box<dyn Originals>>,
    /// What was skipped or odd among images on disk.
    pub report: Option<DataReport>,
    /// What a protocol brings besides the task.
    pub listed: Option<ListedParts>,
    /// Identity of the experiment.
    pub identity: String,
    /// Device kind and precision.
    pub device_kind: String,
    /// Commit of the code, where it is known.
    pub commit: Option<String>,
}

impl Materials {
    /// The models of an experiment and no image: what a prediction needs.
    ///
    /// # Errors
    /// [`DataError`] with the path at fault.
    pub(super) fn without_images(
        experiment: &Experiment,
        card: &AdapterCard,
        backend: &str,
        device: &Device,
    ) -> Result<Self, DataError> {
        let spec = experiment.spec();
        let Models { pretrained, backbone, texts } = Models::load(spec, backend, device)?;
        let task = Task {
            name: spec.data.task_name(),
            class_names: card.class_names.clone(),
            templates: card.templates.clone(),
            train: LabelledImages::default(),
            tests: Vec::new(),
        };
        Ok(Self {
            pretrained,
            backbone,
            texts,
            task,
            resized_from: None,
            report: None,
            listed: None,
            identity: card.experiment.clone(),
            device_kind: device_kind(backend, spec.precision()),
            commit: None,
        })
    }

    /// The training images before they were resized.
    pub fn originals(&self) -> &dyn Originals {
        self.resized_from.as_deref().unwrap_or(&self.task.train)
    }

    /// How images are prepared for the encoder that reads them.
    pub fn preprocess(&self) -> &Preprocess {
        self.backbone.as_ref().map_or(&self.pretrained.preprocess, |loaded| &loaded.preprocess)
    }
}

/// Resizes the world's images to what a model expects, and keeps what the training images were before; those that are
/// made for the world take them as they are.
fn for_model(mut task: Task, preprocess: &Preprocess) -> (Task, Option<Box<dyn Originals>>) {
    let side = task.train.side;
    if (preprocess.resize, preprocess.crop) == (side, side) {
        return (task, None);
    }
    let resized = |images: &LabelledImages| {
        let squares = (0..images.len()).flat_map(|index| preprocess.square(&images.rgb_image(index)).pixels);
        LabelledImages { side: preprocess.crop, pixels: squares.collect(), labels: images.labels.clone() }
    };
    task.tests.iter_mut().for_each(|split| split.images = resized(&split.images));
    let train = resized(&task.train);
    let originals = std::mem::replace(&mut task.train, train);
    (task, Some(Box::new(originals)))
}
