//! Published data sets and manifests under a protocol, in the words of a recipe.

use std::path::PathBuf;

use regulus_datasets::Subset;
use regulus_datasets::protocol::Protocol;
use regulus_datasets::published;
use serde::{Deserialize, Serialize};

use super::check::Faults;
use super::spec::{DataSpec, ExperimentSpec};

/// A published data set, read from the folders of its community.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedSpec {
    /// Name of the data set, as `cargo xtask data list` prints it.
    pub name: String,
    /// The folder of all data sets, or that of this one.
    #[serde(default)]
    pub root: PathBuf,
    /// Which images train and which test, such as `few-shot:16`.
    pub protocol: Protocol,
    /// The other data sets of cross-dataset and domain generalisation, below the same root (default: none).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Prompt templates with `{}` for the class name (default: that of the data set).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<String>,
    /// A sampled list whose training and validation images are taken in place of the protocol's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shots_from: Option<PathBuf>,
}

/// Images of one's own, listed in a CSV or JSON-lines file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestSpec {
    /// The file: `*.csv`, `*.jsonl` or `*.ndjson`.
    pub path: PathBuf,
    /// Which images train and which test (default `full`: the splits of the manifest).
    #[serde(default = "full")]
    pub protocol: Protocol,
    /// Prompt templates with `{}` for the class name (default `a photo of a {}.`).
    #[serde(default = "plain_template")]
    pub templates: Vec<String>,
    /// A sampled list whose training and validation images are taken in place of the protocol's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shots_from: Option<PathBuf>,
}

fn full() -> Protocol {
    Protocol::Full
}

fn plain_template() -> Vec<String> {
    vec!["a photo of a {}.".to_owned()]
}

impl PublishedSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        for (key, name) in std::iter::once(("data.name", &self.name))
            .chain(self.targets.iter().map(|target| ("data.targets", target)))
        {
            if let Err(error) = published::find(name) {
                faults.add(key, error.to_string());
            }
        }
        let missing = self.root.as_os_str().is_empty();
        faults.require(!missing, "data.root", "is missing: the folder of the data sets".into());
        if !self.templates.is_empty() {
            faults.templates("data.templates", &self.templates);
        }
        check_protocol(&self.protocol, !self.targets.is_empty(), faults);
    }

    /// The templates of the recipe, or that of the data set.
    pub fn templates(&self) -> Vec<String> {
        match published::find(&self.name) {
            Ok(dataset) if self.templates.is_empty() => vec![dataset.template().to_owned()],
            _ => self.templates.clone(),
        }
    }
}

impl ManifestSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        faults.templates("data.templates", &self.templates);
        check_protocol(&self.protocol, false, faults);
    }
}

fn check_protocol(protocol: &Protocol, has_targets: bool, faults: &mut Faults) {
    let subset = match *protocol {
        Protocol::LowData { fraction } => Some(Subset::Fraction(fraction)),
        Protocol::LongTailed { ratio: Some(ratio) } => Some(Subset::LongTailed { ratio }),
        _ => None,
    };
    if let Some(Err(fault)) = subset.map(|subset| subset.check()) {
        faults.add("data.protocol", fault.to_string());
    }
    let needed = is_over_several(protocol);
    let message = match needed {
        true => format!("is empty; {protocol} tests on other published data sets: name them"),
        false => format!("names other data sets; {protocol} uses none"),
    };
    faults.require(needed == has_targets, "data.targets", message);
}

fn is_over_several(protocol: &Protocol) -> bool {
    matches!(protocol, Protocol::CrossDataset { .. } | Protocol::DomainGeneralisation { .. })
}

/// What a listed data set shares with others of its kind.
impl DataSpec {
    /// The protocol of a listed data set.
    pub fn protocol(&self) -> Option<&Protocol> {
        match self {
            Self::Published(spec) => Some(&spec.protocol),
            Self::Manifest(spec) => Some(&spec.protocol),
            _ => None,
        }
    }

    /// Names of the test splits of a protocol, where they are known before the data is read.
    pub(super) fn splits_of(protocol: &Protocol) -> Option<&'static [&'static str]> {
        match protocol {
            Protocol::BaseToNovel { .. } => Some(&["base", "novel"]),
            Protocol::OutOfDistribution { held_out } if held_out.is_empty() => Some(&["id", "ood"]),
            Protocol::FewShot { .. }
            | Protocol::Full
            | Protocol::LowData { .. }
            | Protocol::LongTailed { .. } => Some(&["test"]),
            _ => None,
        }
    }

    /// Name of a listed data set under a protocol, for folders.
    pub(super) fn listed_name(dataset: &str, protocol: &Protocol) -> String {
        let plain = |c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_';
        format!("{dataset}-{protocol}").replace(plain, "-")
    }

    /// Whether tests ask for classes that were not trained on.
    fn tests_other_classes(&self) -> bool {
        matches!(self, Self::WorldBaseToNovel { .. })
            || self.protocol().is_some_and(|protocol| {
                matches!(protocol, Protocol::BaseToNovel { .. }) || is_over_several(protocol)
            })
    }

    /// Leaves out where the data lies, which is no part of an experiment's identity.
    pub(super) fn forget_paths(&mut self) {
        match self {
            Self::Folder { path, .. } => path.clear(),
            Self::Published(spec) => {
                spec.root.clear();
                spec.shots_from = None;
            }
            Self::Manifest(spec) => {
                spec.path.clear();
                spec.shots_from = None;
            }
            _ => {}
        }
    }
}

/// A method that cannot read names has no outputs for classes that it was not trained on.
pub(super) fn check_classes(spec: &ExperimentSpec, faults: &mut Faults) {
    if spec.data.tests_other_classes() && !spec.reads_class_names() {
        let name = spec.label();
        let key = if spec.data.protocol().is_some() { "data.protocol" } else { "data.kind" };
        faults.add(key, format!("tests classes that {name} has no outputs for; it cannot read names"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, parse_toml};
    use super::*;

    fn spec(method: &str, data: &str) -> ExperimentSpec {
        let text = format!(
            "seed = 1\nmodel = {{ path = \"m\" }}\nmethod = {{ name = \"{method}\" }}\ndata = {{ {data} }}"
        );
        parse_toml(&text, "test").unwrap()
    }

    fn faults(method: &str, data: &str) -> Vec<String> {
        let faults = Experiment::check(spec(method, data)).unwrap_err();
        faults.0.into_iter().map(|fault| format!("{}: {}", fault.key, fault.message)).collect()
    }

    const EUROSAT: &str =
        "kind = \"published\", name = \"eurosat\", root = \"r\", protocol = \"few-shot:16\"";

    #[test]
    fn a_published_set_knows_its_template_and_its_splits() {
        let spec = spec("zero-shot", EUROSAT);
        let DataSpec::Published(data) = &spec.data else { unreachable!("it was parsed as one") };
        assert_eq!(data.templates(), ["a centered satellite photo of {}."]);
        assert_eq!(spec.data.known_splits(), Some(&["test"][..]));
        assert_eq!(spec.data.task_name(), "eurosat-few-shot-16");
        let manifest: DataSpec = parse_toml("kind = \"manifest\"\npath = \"a/x.csv\"", "test").unwrap();
        assert_eq!((manifest.task_name().as_str(), manifest.protocol()), ("x-full", Some(&Protocol::Full)));
        Experiment::check(spec).unwrap();
    }

    #[test]
    fn identity_leaves_places_out_and_keeps_the_protocol() {
        let id = |data: &str| {
            Experiment::check(spec("zero-shot", data)).unwrap().identity("m", "d", "cpu").unwrap()
        };
        let first = id(EUROSAT);
        assert_eq!(first, id(&EUROSAT.replace("root = \"r\"", "root = \"s\"")));
        assert_eq!(first, id(&format!("{EUROSAT}, shots_from = \"a.txt\"")), "the list itself is hashed");
        assert_ne!(first, id(&EUROSAT.replace(":16", ":8")));
    }

    #[test]
    fn faults_name_their_keys() {
        let with = |from: &str, to: &str| EUROSAT.replace(from, to);
        let unknown = faults("zero-shot", &with("eurosat", "eurosta"));
        assert!(unknown[0].starts_with("data.name: ") && unknown[0].contains("did you mean `eurosat`?"));
        assert!(faults("zero-shot", &with(", root = \"r\"", ""))[0].starts_with("data.root: is missing"));
        assert!(faults("zero-shot", &with("few-shot:16", "low-data:2"))[0].starts_with("data.protocol: "));
        assert!(faults("zero-shot", &with("few-shot:16", "cross-dataset:16"))[0].starts_with("data.targets"));
        assert!(faults("zero-shot", &format!("{EUROSAT}, targets = [\"dtd\"]"))[0].contains("uses none"));
        assert!(faults("zero-shot", &format!("{EUROSAT}, templates = [\"x\"]"))[0].contains("has no {}"));
        let blind = "linear-probe\", solver = \"lbfgs";
        let refused = faults(blind, &with("few-shot:16", "base-to-novel:16"));
        assert!(refused[0].contains("cannot read names"), "{refused:?}");
        let manifest = "kind = \"manifest\", path = \"x.csv\", protocol = \"cross-dataset:1\"";
        assert!(faults("zero-shot", manifest)[0].starts_with("data.targets"));
    }

    #[test]
    fn a_wrong_protocol_is_told_when_the_recipe_is_read() {
        let text = "kind = \"manifest\"\npath = \"x.csv\"\nprotocol = \"few-shots:4\"";
        let error = parse_toml::<DataSpec>(text, "test").unwrap_err().to_string();
        assert!(error.contains("did you mean `few-shot`?"), "{error}");
    }
}
