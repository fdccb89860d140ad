//! `--data published:NAME` and `--data list.csv`: data under a protocol, from the command line into a recipe.

use std::path::{Path, PathBuf};

use regulus_datasets::manifest::ManifestFormat;

use crate::failure::{Failure, Outcome};

/// What is said of data under a protocol.
#[derive(clap::Args)]
pub struct Listed {
    /// Folder of all published data sets, or of the one that `--data published:<name>` names
    #[arg(long)]
    root: Option<PathBuf>,
    /// Which images of a published data set or a manifest train and which test: few-shot:16, base-to-novel:16,
    /// cross-dataset:16, domain-generalisation:16, out-of-distribution:<domain>+..., full, low-data:0.1, long-tailed:100
    #[arg(long)]
    protocol: Option<String>,
    /// Other published data sets that cross-dataset and domain-generalisation test on
    #[arg(long, value_delimiter = ',')]
    targets: Vec<String>,
    /// A sampled list, such as the shots.txt of another run, whose training and validation images are taken
    #[arg(long, value_name = "FILE")]
    shots_from: Option<PathBuf>,
}

/// The prefix of names of published data sets.
const PUBLISHED: &str = "published:";

impl Listed {
    /// The data of a recipe; `None` if `data` names neither a published data set nor a manifest.
    pub fn data(&self, data: &str) -> Outcome<Option<toml::Value>> {
        let text = |value: &str| toml::Value::String(value.to_owned());
        let path = |value: &Path| text(&value.to_string_lossy());
        let mut table = toml::Table::new();
        let mut set = |key: &str, value: toml::Value| {
            table.insert(key.to_owned(), value);
        };
        if let Some(name) = data.strip_prefix(PUBLISHED) {
            let Some(protocol) = &self.protocol else {
                return Err(refused(
                    "--protocol is missing: few-shot:16, base-to-novel:16, out-of-distribution or another",
                ));
            };
            let Some(root) = &self.root else {
                return Err(no_root());
            };
            set("kind", text("published"));
            set("name", text(name));
            set("root", path(root));
            set("protocol", text(protocol));
        } else if ManifestFormat::of(Path::new(data)).is_some() {
            if self.root.is_some() {
                return Err(refused(
                    "--root is for published data sets; paths of a manifest start beside it",
                ));
            }
            set("kind", text("manifest"));
            set("path", text(data));
            self.protocol.iter().for_each(|protocol| set("protocol", text(protocol)));
        } else if self.is_used() {
            return Err(refused(
                "--root, --protocol, --targets and --shots-from are for published data sets (--data \
                 published:<name>) and manifests (--data <file>.csv)",
            ));
        } else {
            return Ok(None);
        }
        if !self.targets.is_empty() {
            set("targets", toml::Value::Array(self.targets.iter().map(|target| text(target)).collect()));
        }
        self.shots_from.iter().for_each(|list| set("shots_from", path(list)));
        Ok(Some(toml::Value::Table(table)))
    }

    /// The whole of a published data set or a manifest; `None` if `data` names neither.
    pub fn whole(&self, data: &str) -> Outcome<Option<toml::Value>> {
        let text = |value: &str| toml::Value::String(value.to_owned());
        let entries = if let Some(name) = data.strip_prefix(PUBLISHED) {
            let Some(root) = &self.root else { return Err(no_root()) };
            vec![
                ("kind", text("published")),
                ("name", text(name)),
                ("root", text(&root.to_string_lossy())),
                ("protocol", text("full")),
            ]
        } else if ManifestFormat::of(Path::new(data)).is_some() {
            vec![("kind", text("manifest")), ("path", text(data)), ("protocol", text("full"))]
        } else {
            return Ok(None);
        };
        let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
        Ok(Some(toml::Value::Table(entries.collect())))
    }

    fn is_used(&self) -> bool {
        let Self { root, protocol, targets, shots_from } = self;
        root.is_some() || protocol.is_some() || !targets.is_empty() || shots_from.is_some()
    }
}

fn no_root() -> Failure {
    refused("--root is missing: the folder of all data sets, or of this one")
}

fn refused(message: &'static str) -> Failure {
    Failure::Request(anyhow::anyhow!(message))
}
