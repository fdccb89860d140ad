//! Published data sets and manifests on their way into a run: listed, planned by their protocol, and loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use regulus_datasets::folders::FolderReport;
use regulus_datasets::listing::{DatasetListing, Images, ListingError, Split};
use regulus_datasets::loader::SquareStore;
use regulus_datasets::protocol::{
    Protocol, ProtocolError, ProtocolLoadError, ProtocolReport, ProtocolTask, SampledList, SampledListError,
    Wording,
};
use regulus_datasets::published::{self, PublishedError};
use regulus_datasets::{LabelledImages, Source, Task, manifest};
use regulus_images::Preprocess;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::DataSize;
use crate::details::Groups;
use crate::experiment::{ManifestSpec, PublishedSpec};

/// A listed data set that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListedError {
    /// The published data set.
    #[error(transparent)]
    Published(#[from] PublishedError),
    /// The manifest, or the files that it lists.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// The protocol does not fit the data.
    #[error("`data.protocol`: {0}")]
    Protocol(#[from] ProtocolError),
    /// The sampled list to import.
    #[error("`data.shots_from`: {0}")]
    Shots(#[from] SampledListError),
    /// The images.
    #[error(transparent)]
    Load(#[from] ProtocolLoadError),
}

/// What was read of data on disk, for the record of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum DataReport {
    /// An image folder.
    Folder(FolderReport),
    /// A listed data set.
    Listed(ProtocolReport),
}

impl std::fmt::Display for DataReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(report) => report.fmt(f),
            Self::Listed(report) => report.fmt(f),
        }
    }
}

/// What a protocol brings besides the task.
#[derive(Debug, Clone)]
pub struct ListedParts {
    /// The training and validation images by name.
    pub sampled: SampledList,
    /// Validation images over the classes of the training images; may be empty.
    pub validation: LabelledImages,
    /// Domain of each test image, by split, where the data has domains.
    pub groups: BTreeMap<String, Groups>,
}

/// A data set under its protocol, nothing decoded.
#[derive(Debug, Clone)]
pub(super) struct ListedSource {
    name: String,
    templates: Vec<String>,
    domains: Vec<String>,
    plan: ProtocolTask,
    fingerprint: String,
}

/// What [`ListedSource::load`] makes of it.
pub(super) struct LoadedSource {
    pub task: Task,
    pub originals: Arc<dyn Source>,
    pub report: DataReport,
    pub parts: ListedParts,
    pub notices: Vec<String>,
}

impl ListedSource {
    /// Lists and plans a published data set.
    pub fn published(
        data: &PublishedSpec,
        name: String,
        seed: u64,
        listings: &Listings,
    ) -> Result<Self, ListedError> {
        let read = |name: &String| listings.read(name, &data.root);
        let target = |name| Ok::<_, PublishedError>(DatasetListing::clone(&*read(name)?));
        let targets = data.targets.iter().map(target).collect::<Result<Vec<_>, _>>()?;
        let listed = Listed {
            listing: &*read(&data.name)?,
            targets,
            protocol: &data.protocol,
            shots_from: data.shots_from.as_deref(),
        };
        listed.planned(name, data.templates(), seed)
    }

    /// Lists and plans a manifest.
    pub fn manifest(data: &ManifestSpec, name: String, seed: u64) -> Result<Self, ListedError> {
        let listed = Listed {
            listing: &manifest::read(&data.path)?,
            targets: Vec::new(),
            protocol: &data.protocol,
            shots_from: data.shots_from.as_deref(),
        };
        listed.planned(name, data.templates.clone(), seed)
    }

    /// Without training and validation images.
    pub fn tests_only(mut self) -> Self {
        for listed in [&mut self.plan.train, &mut self.plan.val] {
            listed.images = Images::default();
        }
        self
    }

    /// Identifies class names, images, their split and choice, and the templates.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Every class name that a prompt is written with, and the templates.
    pub fn words(&self) -> (Vec<String>, &[String]) {
        let tests = self.plan.tests.iter().flat_map(|test| test.classes.for_prompts());
        (self.plan.classes.for_prompts().into_iter().chain(tests).collect(), &self.templates)
    }

    /// How many images and classes there are.
    pub fn data_size(&self) -> DataSize {
        let plan = &self.plan;
        let class_names = plan.classes.for_prompts();
        DataSize {
            classes: class_names.len(),
            class_names,
            templates: self.templates.clone(),
            train: plan.train.images.len(),
            tests: plan.tests.iter().map(|test| test.images.images.len()).sum(),
            original_side: None,
            cache: None,
        }
    }

    /// Decodes the images.
    pub fn load(
        self,
        preprocess: &Preprocess,
        store: &SquareStore,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<LoadedSource, ListedError> {
        let wording = Wording { name: &self.name, templates: &self.templates };
        let loaded = self.plan.load(wording, preprocess, store, progress)?;
        let tests = loaded.task.tests.iter().zip(loaded.domains);
        let groups = tests.filter_map(|(test, domains)| {
            let groups = Groups { names: self.domains.clone(), of: domains? };
            Some((test.name.clone(), groups))
        });
        let parts = ListedParts {
            groups: groups.collect(),
            sampled: self.plan.sampled,
            validation: loaded.validation,
        };
        Ok(LoadedSource {
            task: loaded.task,
            originals: Arc::new(loaded.originals),
            report: DataReport::Listed(loaded.report),
            parts,
            notices: loaded.notices,
        })
    }
}

/// Published data sets that have been listed, for runs that are planned together: each is read once.
#[derive(Debug, Default)]
pub struct Listings(Mutex<BTreeMap<(String, PathBuf), Arc<DatasetListing>>>);

impl Listings {
    fn read(&self, name: &str, root: &Path) -> Result<Arc<DatasetListing>, PublishedError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), root.to_owned());
        if let Some(listing) = known.get(&key) {
            return Ok(Arc::clone(listing));
        }
        let listing = Arc::new(published::read(name, root)?);
        known.insert(key, Arc::clone(&listing));
        Ok(listing)
    }
}

/// Lists, and what is asked of them.
struct Listed<'a> {
    listing: &'a DatasetListing,
    targets: Vec<DatasetListing>,
    protocol: &'a Protocol,
    shots_from: Option<&'a Path>,
}

impl Listed<'_> {
    fn planned(self, name: String, templates: Vec<String>, seed: u64) -> Result<ListedSource, ListedError> {
        let Self { listing, targets, protocol, shots_from } = self;
        let plan = match shots_from {
            Some(path) => protocol.plan_with(listing, &targets, seed, &SampledList::read(path)?)?,
            None => protocol.plan(listing, &targets, seed)?,
        };
        require_files(listing, &plan)?;
        let mut hash = Sha256::new();
        let digests = std::iter::once(listing).chain(&targets).map(DatasetListing::digest);
        for part in digests.chain([plan.sampled.sha256()]).chain(templates.iter().cloned()) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let fingerprint = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(ListedSource { name, templates, domains: listing.domains.clone(), plan, fingerprint })
    }
}

/// Every planned image has to be there; others of the data set may be missing.
fn require_files(listing: &DatasetListing, plan: &ProtocolTask) -> Result<(), ListingError> {
    let parts = [("train", &plan.train), ("val", &plan.val)];
    let tests = plan.tests.iter().map(|test| (test.name.as_str(), &test.images));
    for (name, listed) in parts.into_iter().chain(tests) {
        let split = Split { name: name.to_owned(), images: listed.images.clone() };
        let part = DatasetListing {
            root: listed.root.clone(),
            splits: vec![split],
            name: listing.name.clone(),
            classes: listing.classes.clone(),
            domains: Vec::new(),
            left_out: Vec::new(),
        };
        part.require_files()?;
    }
    Ok(())
}
