//! What an experiment needs before it can run: its data listed and its model found, then both loaded.
//!
//! Two stages, so that every fault of a path, a class or a tensor is told before any image is decoded,
//! and so that a finished run is recognised without loading anything.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use regulus_clip::{BackboneError, LoadError, LoadedBackbone, Pretrained, ResolutionError, TokenizeError};
use regulus_datasets::folders::FolderError;
use regulus_datasets::loader::SquareStore;
use regulus_datasets::{LabelledImages, Source as Originals, Task};
use regulus_images::Preprocess;
use regulus_kernels::MatmulPrecision;

use super::Progress;
use super::listed::{DataReport, ListedError, ListedParts, Listings};
use super::source::{Images, Loading, Source};
use crate::adapter::AdapterCard;
use crate::class_texts::{ClassTexts, TextError};
use crate::device::{Backend, MatmulError, PrecisionError, check_matmul, check_precision, matmul_notice};
use crate::experiment::{Experiment, ExperimentSpec, TextSpec};

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
    /// The device lacks the way to multiply that was asked for.
    #[error(transparent)]
    Matmul(#[from] MatmulError),
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
    reference: Option<Source>,
    backend: String,
    store: SquareStore,
    rendered: Option<PathBuf>,
    commit: Option<String>,
}

impl Inputs {
    /// Lists the data and digests the model's files. The device's backend, such as `cpu`
    /// ([`kind`](crate::device::kind)), is part of the identity.
    ///
    /// # Errors
    /// [`DataError`] with the path at fault.
    pub fn check(experiment: &Experiment, backend: &str) -> Result<Self, DataError> {
        Self::check_among(experiment, backend, &Listings::default())
    }

    /// [`check`](Self::check) of one of several experiments, which share what has been listed.
    ///
    /// # Errors
    /// [`DataError`] with the path at fault.
    pub fn check_among(
        experiment: &Experiment,
        backend: &str,
        listings: &Listings,
    ) -> Result<Self, DataError> {
        let spec = experiment.spec();
        let source = Source::list(&spec.data, spec.seed, listings)?;
        let reference =
            spec.reference.as_deref().map(|data| Source::list(data, spec.seed, listings)).transpose()?;
        let reference = reference.map(Source::tests_only);
        let mut model = Pretrained::fingerprint(&spec.model.path)?;
        if let Some(path) = &spec.model.backbone {
            model += &LoadedBackbone::fingerprint(path)?;
        }
        if let Some(tes) = spec.method.tes() {
            model += &ClassTexts::fingerprint(&tes.text)?;
        }
        let data = source.fingerprint() + &reference.as_ref().map(Source::fingerprint).unwrap_or_default();
        let identity = experiment.identity(&model, &data, &device_kind(backend, spec))?;
        Ok(Self {
            identity,
            source,
            reference,
            backend: backend.to_owned(),
            store: SquareStore::default(),
            rendered: None,
            commit: None,
        })
    }

    /// Keeps decoded images in `store`; without this, in memory. Results are the same.
    #[must_use]
    pub fn kept_in(self, store: SquareStore) -> Self {
        Self { store, ..self }
    }

    /// Shares rendered images with other processes in a folder, which must not outlive this program; without this, every
    /// image is rendered. Results are the same.
    #[must_use]
    pub fn rendered_in(self, rendered: Option<PathBuf>) -> Self {
        Self { rendered, ..self }
    }

    /// Bytes that the cache may take, if there is one.
    pub(super) fn cache_budget(&self) -> Option<u64> {
        self.store.cache.as_ref().map(|folder| folder.budget)
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
        let loading = Loading {
            pretrained: &pretrained,
            texts: &texts,
            preprocess,
            store: &self.store,
            rendered: self.rendered.as_deref(),
            progress,
        };
        let Images { task, resized_from, report, listed, mut notices } = loading.images(self.source)?;
        let reference = self.reference.map(|source| loading.images(source)).transpose()?;
        let reference = reference.map(|images| {
            notices.extend(images.notices);
            images.task
        });
        let Self { identity, backend, commit, .. } = self;
        let device_kind = device_kind(&backend, spec);
        notices.extend(matmul_notice(spec.model.matmul));
        Ok(Materials {
            pretrained,
            backbone,
            texts,
            task,
            resized_from,
            report,
            notices,
            listed,
            reference,
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
        check_matmul(backend, spec.model.matmul)?;
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

/// Backend, precision and way to multiply in one word, such as `cpu-f32` or `cpu-f32-by-bf16x3`.
fn device_kind(backend: &str, spec: &ExperimentSpec) -> String {
    let precision = spec.precision().name();
    match spec.model.matmul {
        MatmulPrecision::F32 => format!("{backend}-{precision}"),
        matmul => format!("{backend}-{precision}-by-{matmul}"),
    }
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
    pub resized_from: Option<Arc<dyn Originals>>,
    /// What was skipped or odd among images on disk.
    pub report: Option<DataReport>,
    /// Why images are not cached, where they should have been.
    pub notices: Vec<String>,
    /// What a protocol brings besides the task.
    pub listed: Option<ListedParts>,
    /// Images of other classes, for what is forgotten of them.
    pub reference: Option<Task>,
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
        let models = Models::load(spec, backend, device)?;
        let task = Task {
            name: spec.data.task_name(),
            class_names: card.class_names.clone(),
            templates: card.templates.clone(),
            train: LabelledImages::default(),
            tests: Vec::new(),
        };
        Ok(Self::of(models, task, card.experiment.clone(), device_kind(backend, spec)))
    }

    /// Whether the processor computes, and not a device with memory of its own.
    pub(super) fn on_processor(&self) -> bool {
        let backend = self.device_kind.split('-').next().and_then(Backend::by_name);
        backend.is_none_or(Backend::is_processor)
    }

    /// The same models with other images, and nothing that belongs to these.
    pub(super) fn with_images_of(&self, task: Task) -> Self {
        let Self { pretrained, backbone, texts, identity, device_kind, .. } = self;
        let models =
            Models { pretrained: pretrained.clone(), backbone: backbone.clone(), texts: texts.clone() };
        Self::of(models, task, identity.clone(), device_kind.clone())
    }

    /// Models and a task, and nothing else that belongs to images.
    fn of(models: Models, task: Task, identity: String, device_kind: String) -> Self {
        let Models { pretrained, backbone, texts } = models;
        Self {
            pretrained,
            backbone,
            texts,
            task,
            resized_from: None,
            report: None,
            notices: Vec::new(),
            listed: None,
            reference: None,
            identity,
            device_kind,
            commit: None,
        }
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
