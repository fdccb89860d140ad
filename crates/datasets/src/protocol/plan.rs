//! From data sets to a task: first the choice of training and validation images, then the tests.

use std::collections::HashSet;

use super::shift::{self, Shift};
use super::{Protocol, ProtocolError, ProtocolTask, ProtocolTest, SampledList};
use crate::Subset;
use crate::dassl::{few_shot, halves};
use crate::listing::{ClassNames, DatasetListing, Images, ListedImages};

/// The images that train and validate, under the labels of the data set.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub train: Images,
    pub val: Images,
}

pub(super) fn plan(
    protocol: &Protocol,
    source: &DatasetListing,
    targets: &[DatasetListing],
    seed: u64,
    imported: Option<&SampledList>,
) -> Result<ProtocolTask, ProtocolError> {
    let over_several =
        matches!(protocol, Protocol::CrossDataset { .. } | Protocol::DomainGeneralisation { .. });
    if over_several == targets.is_empty() {
        return Err(ProtocolError::Targets { protocol: protocol.to_string(), needed: over_several });
    }
    let planner = Planner { protocol, source, seed };
    let shift = match protocol {
        Protocol::OutOfDistribution { held_out } => Some(shift::shift(protocol, source, held_out)?),
        _ => None,
    };
    let choice = match imported {
        Some(list) => list.find(source)?,
        None => planner.choose(shift.as_ref())?,
    };
    let sampled = SampledList::of(source, &protocol.to_string(), seed, &choice);
    let mut task = match (protocol, shift) {
        (Protocol::BaseToNovel { .. }, _) => planner.base_to_novel(choice, sampled)?,
        (_, Some(shift)) => {
            let mut task = planner.task(choice, sampled);
            task.tests.extend(shift.tests.into_iter().map(|(name, images)| planner.test(name, images)));
            task
        }
        _ => {
            let mut task = planner.task(choice, sampled);
            task.tests.push(planner.test("test".to_owned(), planner.split("test")?.clone()));
            task
        }
    };
    for target in targets {
        task.tests.push(planner.target(target)?);
    }
    planner.check(&task, imported.is_some())?;
    Ok(task)
}

struct Planner<'a> {
    protocol: &'a Protocol,
    source: &'a DatasetListing,
    seed: u64,
}

impl Planner<'_> {
    fn split(&self, name: &'static str) -> Result<&Images, ProtocolError> {
        split_of(self.protocol, self.source, name)
    }

    /// The choice of the protocol itself.
    fn choose(&self, shift: Option<&Shift>) -> Result<Choice, ProtocolError> {
        if let Some(shift) = shift {
            return Ok(Choice { train: shift.train.clone(), val: Images::default() });
        }
        let train = self.split("train")?;
        let val = self.source.split("val");
        let subset = match *self.protocol {
            Protocol::FewShot { shots }
            | Protocol::BaseToNovel { shots }
            | Protocol::CrossDataset { shots }
            | Protocol::DomainGeneralisation { shots } => {
                let val_labels = val.map(Images::labels);
                let chosen = few_shot(&train.labels(), val_labels.as_deref(), shots, self.seed);
                let val = val.map(|images| images.pick(&chosen.val)).unwrap_or_default();
                return Ok(Choice { train: train.pick(&chosen.train), val });
            }
            Protocol::LowData { fraction } => Some(Subset::Fraction(fraction)),
            Protocol::LongTailed { ratio: Some(ratio) } => Some(Subset::LongTailed { ratio }),
            Protocol::Full | Protocol::LongTailed { ratio: None } | Protocol::OutOfDistribution { .. } => {
                None
            }
        };
        let train = match subset {
            Some(subset) => {
                subset.check()?;
                train.pick(&subset.choose(&train.labels(), self.source.classes.len(), self.seed))
            }
            None => train.clone(),
        };
        Ok(Choice { train, val: val.cloned().unwrap_or_default() })
    }

    fn listed(&self, images: Images) -> ListedImages {
        ListedImages { root: self.source.root.clone(), images }
    }

    fn test(&self, name: String, images: Images) -> ProtocolTest {
        ProtocolTest { name, classes: self.source.classes.clone(), images: self.listed(images) }
    }

    /// The task of a choice over all classes, without tests.
    fn task(&self, choice: Choice, sampled: SampledList) -> ProtocolTask {
        ProtocolTask {
            classes: self.source.classes.clone(),
            train: self.listed(choice.train),
            val: self.listed(choice.val),
            tests: Vec::new(),
            sampled,
        }
    }

    /// Halves the classes that have training images; the test split is halved with them.
    fn base_to_novel(&self, choice: Choice, sampled: SampledList) -> Result<ProtocolTask, ProtocolError> {
        let test = self.split("test")?;
        let (base, novel) = halves(&choice.train.labels());
        if novel.is_empty() {
            let dataset = self.source.name.clone();
            return Err(ProtocolError::TooFewClasses { dataset, classes: base.len() });
        }
        let half = |name: &str, labels: &[usize]| ProtocolTest {
            name: name.to_owned(),
            classes: self.names_of(labels),
            images: self.listed(only(test, labels)),
        };
        Ok(ProtocolTask {
            classes: self.names_of(&base),
            train: self.listed(only(&choice.train, &base)),
            val: self.listed(only(&choice.val, &base)),
            tests: vec![half("base", &base), half("novel", &novel)],
            sampled,
        })
    }

    fn names_of(&self, labels: &[usize]) -> ClassNames {
        let names = labels.iter().filter_map(|&label| self.source.classes.names.get(label).cloned());
        ClassNames::new(&*self.source.classes.version, names.collect())
    }

    /// The test split of another data set.
    fn target(&self, target: &DatasetListing) -> Result<ProtocolTest, ProtocolError> {
        if matches!(self.protocol, Protocol::DomainGeneralisation { .. }) {
            let known: HashSet<&String> = self.source.classes.names.iter().collect();
            if let Some(class) = target.classes.names.iter().find(|class| !known.contains(class)) {
                let (dataset, class) = (self.source.name.clone(), class.clone());
                return Err(ProtocolError::ForeignClass { target: target.name.clone(), class, dataset });
            }
        }
        let images = split_of(self.protocol, target, "test")?.clone();
        Ok(ProtocolTest {
            name: target.name.clone(),
            classes: target.classes.clone(),
            images: ListedImages { root: target.root.clone(), images },
        })
    }

    /// No part is empty, and an imported list keeps clear of the tests.
    fn check(&self, task: &ProtocolTask, imported: bool) -> Result<(), ProtocolError> {
        let mut parts = vec![("train", &task.train)];
        parts.extend(task.tests.iter().map(|test| (test.name.as_str(), &test.images)));
        if let Some((split, _)) = parts.iter().find(|(_, listed)| listed.images.is_empty()) {
            return Err(ProtocolError::EmptySplit {
                protocol: self.protocol.to_string(),
                dataset: self.source.name.clone(),
                split: (*split).to_owned(),
            });
        }
        if !imported {
            return Ok(());
        }
        let used: HashSet<(&[u8], Option<u64>)> = [&task.train, &task.val]
            .into_iter()
            .flat_map(|listed| listed.images.iter())
            .map(|image| (image.path_bytes(), image.offset))
            .collect();
        for test in task.tests.iter().filter(|test| test.images.root == self.source.root) {
            let is_used =
                |image: &crate::listing::ImageRef<'_>| used.contains(&(image.path_bytes(), image.offset));
            if let Some(image) = test.images.images.iter().find(is_used) {
                let (path, split) = (image.shown(), test.name.clone());
                return Err(ProtocolError::TestImageSampled { path, split });
            }
        }
        Ok(())
    }
}

fn split_of<'d>(
    protocol: &Protocol,
    dataset: &'d DatasetListing,
    split: &'static str,
) -> Result<&'d Images, ProtocolError> {
    dataset.split(split).ok_or_else(|| ProtocolError::NoSplit {
        protocol: protocol.to_string(),
        dataset: dataset.name.clone(),
        split,
        found: dataset.splits.iter().map(|split| split.name.clone()).collect(),
    })
}

/// The images of these labels, relabelled by their place in `labels`, which is sorted.
fn only(images: &Images, labels: &[usize]) -> Images {
    let mut kept = Images::default();
    for image in images.iter() {
        if let Ok(label) = labels.binary_search(&image.label) {
            kept.append(image, label);
        }
    }
    kept
}
