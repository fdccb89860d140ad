//! Evaluation protocols by name: which images of a data set train, which validate, and on which images and classes the
//! result is tested.

mod error;
mod load;
mod plan;
mod sampled;
mod shift;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::folders::nearest;
use crate::listing::{ClassNames, DatasetListing, ListedImages};

pub use error::ProtocolError;
pub use load::{LoadedProtocol, ProtocolLoadError, ProtocolReport, Wording};
pub use sampled::{SampledImage, SampledList, SampledListError};

/// The numbers of shots of published few-shot curves.
pub const FEW_SHOTS: [usize; 5] = [1, 2, 4, 8, 16];

/// Share of the training images that tests in distribution where a data set has no such images.
pub const HOLD_OUT: f64 = 0.1;

/// How a data set is used. Written as a name and, after a colon, a value: `few-shot:16`.
///
/// Shots are images per class, chosen as Dassl chooses them (see [`dassl`](crate::dassl)); `all` takes every image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    /// A few images of every class train; the whole test split tests.
    FewShot {
        /// Images per class; 0 for all.
        shots: usize,
    },
    /// A few images of the first half of the classes train; `base` tests on these classes, `novel` on the others, each
    /// among its own classes.
    BaseToNovel {
        /// Images per class; 0 for all.
        shots: usize,
    },
    /// A few images of one data set train; every other data set tests, among its own classes.
    CrossDataset {
        /// Images per class; 0 for all.
        shots: usize,
    },
    /// As cross-dataset, where the classes of the others are classes of the first (ImageNet and its shifted test
    /// sets).
    DomainGeneralisation {
        /// Images per class; 0 for all.
        shots: usize,
    },
    /// Everything but the held-out domains trains; `id` tests on the same domains, `ood:<domain>` on each held-out
    /// one. In a data set without domains, `ood` is its test split (BAR).
    OutOfDistribution {
        /// The domains that only test.
        held_out: Vec<String>,
    },
    /// The published splits.
    Full,
    /// A share of the training images of each class.
    LowData {
        /// The share, above 0 and at most 1.
        fraction: f64,
    },
    /// A long tail of classes.
    LongTailed {
        /// How many times as many images the first class has as the last; `None` for a data set that is long-tailed as
        /// it is (ImageNet-LT).
        ratio: Option<f64>,
    },
}

/// Names of the protocols, as they are written.
const NAMES: [&str; 8] = [
    "few-shot",
    "base-to-novel",
    "cross-dataset",
    "domain-generalisation",
    "out-of-distribution",
    "full",
    "low-data",
    "long-tailed",
];

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [few_shot, base_to_novel, cross_dataset, generalisation, shifted, full, low_data, long_tailed] =
            NAMES;
        let mut with_shots = |name: &str, shots: usize| match shots {
            0 => write!(f, "{name}:all"),
            shots => write!(f, "{name}:{shots}"),
        };
        match self {
            Self::FewShot { shots } => with_shots(few_shot, *shots),
            Self::BaseToNovel { shots } => with_shots(base_to_novel, *shots),
            Self::CrossDataset { shots } => with_shots(cross_dataset, *shots),
            Self::DomainGeneralisation { shots } => with_shots(generalisation, *shots),
            Self::OutOfDistribution { held_out } if held_out.is_empty() => f.write_str(shifted),
            Self::OutOfDistribution { held_out } => write!(f, "{shifted}:{}", held_out.join("+")),
            Self::Full => f.write_str(full),
            Self::LowData { fraction } => write!(f, "{low_data}:{fraction}"),
            Self::LongTailed { ratio: None } => f.write_str(long_tailed),
            Self::LongTailed { ratio: Some(ratio) } => write!(f, "{long_tailed}:{ratio}"),
        }
    }
}

impl FromStr for Protocol {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        let (name, value) = text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value)));
        let wrong = |expected: &'static str| ProtocolError::Value { protocol: text.to_owned(), expected };
        let shots = || match value {
            Some("all") => Ok(0),
            Some(shots) => {
                shots.parse().ok().filter(|&shots| shots > 0).ok_or(wrong("a number of shots or `all`"))
            }
            None => Err(wrong("a number of shots, as in `few-shot:16`, or `all`")),
        };
        let number = |expected| value.and_then(|value| value.parse::<f64>().ok()).ok_or(wrong(expected));
        Ok(match name {
            "few-shot" => Self::FewShot { shots: shots()? },
            "base-to-novel" => Self::BaseToNovel { shots: shots()? },
            "cross-dataset" => Self::CrossDataset { shots: shots()? },
            "domain-generalisation" => Self::DomainGeneralisation { shots: shots()? },
            "out-of-distribution" => {
                let domains = value.map(|value| value.split('+').map(str::to_owned).collect());
                Self::OutOfDistribution { held_out: domains.unwrap_or_default() }
            }
            "full" if value.is_none() => Self::Full,
            "full" => return Err(wrong("no value")),
            "low-data" => Self::LowData { fraction: number("a fraction, as in `low-data:0.1`")? },
            "long-tailed" if value.is_none() => Self::LongTailed { ratio: None },
            "long-tailed" => {
                Self::LongTailed { ratio: Some(number("a ratio, as in `long-tailed:100`, or no value")?) }
            }
            _ => {
                let known: Vec<String> = NAMES.map(str::to_owned).to_vec();
                let nearest = nearest(name, &known);
                return Err(ProtocolError::UnknownProtocol { name: name.to_owned(), nearest, known });
            }
        })
    }
}

impl TryFrom<String> for Protocol {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        text.parse()
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.to_string()
    }
}

/// A data set under a protocol and a seed: lists of images, nothing decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolTask {
    /// The classes of the training images; their labels are indices into it.
    pub classes: ClassNames,
    /// The training images.
    pub train: ListedImages,
    /// The validation images; empty where the data set or the protocol has none.
    pub val: ListedImages,
    /// What is tested.
    pub tests: Vec<ProtocolTest>,
    /// The choice of training and validation images, to be stored with a run and imported again. It is the choice
    /// before classes are split into base and novel.
    pub sampled: SampledList,
}

/// Images that are tested on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolTest {
    /// Name of the split: `test`, `base`, `novel`, `id`, `ood`, `ood:<domain>`, or the name of a data set.
    pub name: String,
    /// The classes to choose from; labels are indices into it.
    pub classes: ClassNames,
    /// The images.
    pub images: ListedImages,
}

impl Protocol {
    /// Applies the protocol to a data set. `targets` are the other data sets of cross-dataset and domain
    /// generalisation.
    ///
    /// # Errors
    /// A [`ProtocolError`] where the data sets do not have what the protocol needs.
    pub fn plan(
        &self,
        source: &DatasetListing,
        targets: &[DatasetListing],
        seed: u64,
    ) -> Result<ProtocolTask, ProtocolError> {
        plan::plan(self, source, targets, seed, None)
    }

    /// [`plan`](Self::plan) with the training and validation images of an imported list in place of its own choice.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan); [`ProtocolError::Sampled`] for a list that does not fit the data set, and
    /// [`ProtocolError::TestImageSampled`] for one that holds a test image.
    pub fn plan_with(
        &self,
        source: &DatasetListing,
        targets: &[DatasetListing],
        seed: u64,
        list: &SampledList,
    ) -> Result<ProtocolTask, ProtocolError> {
        plan::plan(self, source, targets, seed, Some(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in [
            "few-shot:16",
            "few-shot:all",
            "base-to-novel:4",
            "cross-dataset:16",
            "domain-generalisation:16",
            "out-of-distribution",
            "out-of-distribution:sketch+photo",
            "full",
            "low-data:0.1",
            "long-tailed",
            "long-tailed:100",
        ] {
            let protocol: Protocol = text.parse().unwrap();
            assert_eq!(protocol.to_string(), text);
            let json = serde_json::to_string(&protocol).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Protocol>(&json).unwrap(), protocol);
        }
    }

    #[test]
    fn wrong_names_and_values_are_told() {
        for (text, expected) in [
            ("fewshot:4", "did you mean `few-shot`?"),
            ("few-shot", "a number of shots"),
            ("few-shot:0", "a number of shots"),
            ("low-data:x", "a fraction"),
            ("full:1", "no value"),
        ] {
            let error = text.parse::<Protocol>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
