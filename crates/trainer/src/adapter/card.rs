//! The card of an adapter: which model and data its values belong to.

use std::collections::BTreeMap;
use std::fmt;

use regulus_clip::{Activation, ClipConfig, ImageConfig};
use regulus_images::Preprocess;
use serde::{Deserialize, Serialize};

use super::error::Fault;

/// The form of adapter files that this program writes and reads. Files without a number were never readable.
pub const FORMAT: u32 = 1;

/// What a user of the adapter has to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdapterCard {
    /// The form of the file.
    pub format: u32,
    /// Identity of the experiment that trained it.
    pub experiment: String,
    /// Method and variant, such as `proreg-prob`.
    pub method: String,
    /// Canonical TOML of that experiment.
    pub recipe: String,
    /// Digest of the base model's weights.
    pub base_sha256: String,
    /// Digest of the weights of the image encoder that was trained in the place of the base model's, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone_sha256: Option<String>,
    /// Activations of the base model's towers.
    pub activation: Activations,
    /// Side of the images that the base model reads, in pixels.
    pub resolution: usize,
    /// Class names in the order of the logits.
    pub class_names: Vec<String>,
    /// Prompt templates of the classifier.
    pub templates: Vec<String>,
    /// How images were prepared.
    pub preprocess: Preprocess,
    /// Precision of the stored values.
    pub precision: String,
    /// Accuracy of the trained model on each test split, in percent.
    pub accuracy: BTreeMap<String, f64>,
}

/// The activations of a model's towers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activations {
    /// Of the image tower; a residual network has ReLU, and none of these.
    pub image: Option<Activation>,
    /// Of the text tower.
    pub text: Activation,
}

impl Activations {
    /// Those of a model.
    pub fn of(config: &ClipConfig) -> Self {
        let image = match &config.image {
            ImageConfig::Vit(vit) => Some(vit.activation),
            ImageConfig::ResNet(_) => None,
        };
        Self { image, text: config.text.activation }
    }
}

impl fmt::Display for Activations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |activation| match activation {
            Activation::QuickGelu => "quick_gelu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_tanh",
        };
        write!(
            formatter,
            "{} in the image tower and {} in the text tower",
            self.image.map_or("relu", name),
            name(self.text)
        )
    }
}

/// What the metadata holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    #[serde(flatten)]
    pub card: AdapterCard,
    /// Names of the tensors that are buffers; all others are trained parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buffers: Vec<String>,
    /// Parameters that are stored as bits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bits: BTreeMap<String, Packed>,
}

/// What the bits of a parameter do not say.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Packed {
    pub shape: Vec<usize>,
    pub threshold: f64,
}

/// The part of the metadata that is read before anything else.
#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    format: u32,
}

impl Stored {
    /// Reads the metadata entry.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |error: serde_json::Error| Fault::Card { reason: error.to_string() };
        let Version { format } = serde_json::from_str(text).map_err(wrong)?;
        if format != FORMAT {
            return Err(Fault::Format { found: format });
        }
        let stored: Self = serde_json::from_str(text).map_err(wrong)?;
        stored.card.check().map_err(|reason| Fault::Card { reason })?;
        Ok(stored)
    }
}

impl AdapterCard {
    /// Whether the values make sense, as far as that can be told without the model.
    fn check(&self) -> Result<(), String> {
        if self.class_names.is_empty() {
            return Err("`class_names` is empty".into());
        }
        match self.templates.iter().find(|template| !template.contains("{}")) {
            Some(template) => {
                return Err(format!("the template \"{template}\" has no {{}} for the class name"));
            }
            None if self.templates.is_empty() => return Err("`templates` is empty".into()),
            None => {}
        }
        if self.precision != "f32" {
            return Err(format!("`precision` is {}, expected f32", self.precision));
        }
        self.preprocess.check().map_err(|error| format!("`preprocess`: {error}"))
    }
}
