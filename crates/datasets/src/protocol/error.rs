//! Why a protocol cannot be applied, one variant per cause.

use super::sampled::SampledListError;
use crate::SubsetError;

/// Why a protocol cannot be applied to data sets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// There is no such protocol.
    #[error("no protocol is called `{name}`{}; known are {}", did_you_mean(nearest), known.join(", "))]
    UnknownProtocol {
        /// The name that was asked for.
        name: String,
        /// The known name that is most similar to it, where one is similar.
        nearest: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// The value behind the name makes no sense.
    #[error("`{protocol}`: expected {expected}")]
    Value {
        /// The protocol as it was written.
        protocol: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The data set has no such split.
    #[error("{protocol} needs a split `{split}`, and {dataset} has {}", found.join(", "))]
    NoSplit {
        /// The protocol.
        protocol: String,
        /// The data set.
        dataset: String,
        /// The split.
        split: &'static str,
        /// The splits that it has.
        found: Vec<String>,
    },
    /// A protocol over several data sets without others, or others that it does not use.
    #[error("{protocol} {}", if *needed { "tests on other data sets: name them" } else { "uses no other data set" })]
    Targets {
        /// The protocol.
        protocol: String,
        /// Whether others are needed.
        needed: bool,
    },
    /// A class of a target of domain generalisation that the source does not have.
    #[error("{target} has the class `{class}`, which {dataset} does not have: it is for cross-dataset")]
    ForeignClass {
        /// The target.
        target: String,
        /// Its class.
        class: String,
        /// The source.
        dataset: String,
    },
    /// Too few classes for two halves.
    #[error("{dataset} has {classes} classes with training images; base-to-novel needs at least 2")]
    TooFewClasses {
        /// The data set.
        dataset: String,
        /// Its classes.
        classes: usize,
    },
    /// A held-out domain that the data set does not have.
    #[error("{dataset} has no domain `{domain}`{}; it has {}", did_you_mean(nearest), found.join(", "))]
    UnknownDomain {
        /// The data set.
        dataset: String,
        /// The domain.
        domain: String,
        /// The domain with the most similar name, where one is similar.
        nearest: Option<String>,
        /// Its domains.
        found: Vec<String>,
    },
    /// No domain is held out of a data set that has domains, or all are, or one is named for a data set without.
    #[error("{dataset} {}", if domains.is_empty() {
        "has no domains: its test split is out of distribution, name none".to_owned()
    } else {
        format!("has the domains {}: hold out at least one and not all", domains.join(", "))
    })]
    HeldOut {
        /// The data set.
        dataset: String,
        /// Its domains.
        domains: Vec<String>,
    },
    /// A split of the task would have no image.
    #[error("{protocol} leaves no image of {dataset} for {split}")]
    EmptySplit {
        /// The protocol.
        protocol: String,
        /// The data set.
        dataset: String,
        /// The split.
        split: String,
    },
    /// A share or ratio out of range.
    #[error(transparent)]
    Subset(#[from] SubsetError),
    /// An imported list that does not fit.
    #[error("the imported list: {0}")]
    Sampled(#[from] SampledListError),
    /// An imported list that trains or validates on a test image.
    #[error("the imported list has {path}, an image of the test split {split}")]
    TestImageSampled {
        /// The image.
        path: String,
        /// The test split.
        split: String,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}
