//! Prompt learning in the words of a recipe. Defaults are the published settings for ViT-B/16.

use serde::{Deserialize, Serialize};

use super::check::Faults;
use crate::methods::prompts::{ContextStart, Depth, NamePosition};

/// CoOp: context vectors in the text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoopSpec {
    /// Number of vectors (default 4).
    #[serde(default = "four")]
    pub vectors: usize,
    /// Whether each class has its own (default false).
    #[serde(default)]
    pub per_class: bool,
    /// Where the class name stands: `front`, `middle` or `end` (default `end`).
    #[serde(default)]
    pub position: NamePosition,
    /// What they start from: `words` or `random` (default `words`).
    #[serde(default)]
    pub start: ContextStart,
    /// Text in which the vectors stand before the class name, such as `a photo of a {}.`, whatever the templates of the data
    /// say (default: the first of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// KgCoOp: CoOp whose text features stay near those of the hand-written prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KgcoopSpec {
    /// Number of vectors (default 4).
    #[serde(default = "four")]
    pub vectors: usize,
    /// What they start from (default `words`).
    #[serde(default)]
    pub start: ContextStart,
    /// Text in which the vectors stand before the class name, such as `a photo of a {}.`, whatever the templates of the data
    /// say (default: the first of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Factor on the distance (default 8).
    #[serde(default = "eight")]
    pub weight: f64,
}

/// CoCoOp: context vectors that a meta-net shifts by the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CocoopSpec {
    /// Number of vectors (default 4).
    #[serde(default = "four")]
    pub vectors: usize,
    /// Width of the meta-net's hidden layer (default: a sixteenth of the embedding's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// What the vectors start from (default `words`).
    #[serde(default)]
    pub start: ContextStart,
    /// Text in which the vectors stand before the class name, such as `a photo of a {}.`, whatever the templates of the data
    /// say (default: the first of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// Visual prompt tuning: prompts of the image tower alone; shallow in one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VptSpec {
    /// Layers and vectors in each.
    pub image: Depth,
}

/// Independent prompts of both towers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IvlpSpec {
    /// Of the image tower (default 9 layers of 4 vectors).
    #[serde(default = "nine_of_four")]
    pub image: Depth,
    /// Of the text tower (default 9 layers of 4 vectors).
    #[serde(default = "nine_of_four")]
    pub text: Depth,
    /// What the text's first layer starts from (default `words`).
    #[serde(default)]
    pub start: ContextStart,
    /// Text in which the vectors stand before the class name, such as `a photo of a {}.`, whatever the templates of the data
    /// say (default: the first of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// MaPLe: prompts of the text tower and their linear images in the image tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapleSpec {
    /// Layers (default 9).
    #[serde(default = "nine")]
    pub layers: usize,
    /// Vectors in each (default 2).
    #[serde(default = "two")]
    pub vectors: usize,
    /// What the text's first layer starts from (default `words`).
    #[serde(default)]
    pub start: ContextStart,
    /// Text in which the vectors stand before the class name, such as `a photo of a {}.`, whatever the templates of the data
    /// say (default: the first of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// Which templates write the frozen text features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "`single`, `data`, `imagenet-60`, or a list of templates with {} for the class name"
)]
pub enum TemplatesSpec {
    /// A named set.
    Set(TemplateSet),
    /// These.
    List(Vec<String>),
}

/// A named set of templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateSet {
    /// The first template of the data.
    Single,
    /// All templates of the data.
    Data,
    /// The published set of 60.
    #[serde(rename = "imagenet-60")]
    Imagenet60,
}

/// PromptSRC: independent prompts tied to the frozen model. Its aggregation over epochs is
/// `training.aggregation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptsrcSpec {
    /// Prompts of the image tower (default 9 layers of 4 vectors).
    #[serde(default = "nine_of_four")]
    pub image: Depth,
    /// Prompts of the text tower (default 9 layers of 4 vectors).
    #[serde(default = "nine_of_four")]
    pub text: Depth,
    /// What the text's first layer starts from (default `words`).
    #[serde(default)]
    pub start: ContextStart,
    /// Text in which the vectors stand before the class name, such as `a photo of a {}.`, whatever the templates of the data
    /// say (default: the first of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Factor on the text features' agreement, 0 to switch it off (default 25).
    #[serde(default = "twenty_five")]
    pub text_weight: f64,
    /// Factor on the image features' agreement, 0 to switch it off (default 10).
    #[serde(default = "ten")]
    pub image_weight: f64,
    /// Factor on the logits' agreement, 0 to switch it off (default 1).
    #[serde(default = "one")]
    pub logit_weight: f64,
    /// Templates of the frozen text features (default `data`).
    #[serde(default = "of_data")]
    pub templates: TemplatesSpec,
}

fn two() -> usize {
    2
}
fn four() -> usize {
    4
}
fn nine() -> usize {
    9
}
fn nine_of_four() -> Depth {
    Depth { layers: 9, vectors: 4 }
}
fn one() -> f64 {
    1.0
}
fn eight() -> f64 {
    8.0
}
fn ten() -> f64 {
    10.0
}
fn twenty_five() -> f64 {
    25.0
}
fn of_data() -> TemplatesSpec {
    TemplatesSpec::Set(TemplateSet::Data)
}

/// Most vectors of one layer. How many a model has room for is known when it is loaded.
const MOST_VECTORS: usize = 10_000;

pub(super) fn vectors(faults: &mut Faults, key: &str, count: usize) {
    let fits = (1..=MOST_VECTORS).contains(&count);
    faults.require(fits, key, format!("is {count}; expected 1 to {MOST_VECTORS}"));
}

/// The text around learned vectors.
pub(super) fn template(faults: &mut Faults, given: Option<&String>) {
    given.iter().for_each(|template| faults.templates("method.template", std::slice::from_ref(*template)));
}

/// The prompts of one tower; `layers = 0` leaves it without.
fn depth(faults: &mut Faults, key: &str, depth: Depth) {
    let many = MOST_VECTORS;
    let fits = depth.layers <= many;
    faults.require(fits, &format!("{key}.layers"), format!("is {}; expected at most {many}", depth.layers));
    if depth.layers > 0 {
        vectors(faults, &format!("{key}.vectors"), depth.vectors);
    }
}

fn either(faults: &mut Faults, image: Depth, text: Depth) {
    let some = image.layers > 0 || text.layers > 0;
    faults.require(some, "method.image.layers", "and method.text.layers are 0: no prompt is learned".into());
}

impl CoopSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        template(faults, self.template.as_ref());
        vectors(faults, "method.vectors", self.vectors);
    }
}

impl KgcoopSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        template(faults, self.template.as_ref());
        vectors(faults, "method.vectors", self.vectors);
        faults.not_negative("method.weight", self.weight);
    }
}

impl CocoopSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        template(faults, self.template.as_ref());
        vectors(faults, "method.vectors", self.vectors);
        if let Some(hidden) = self.hidden {
            vectors(faults, "method.hidden", hidden);
        }
    }
}

impl VptSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        depth(faults, "method.image", self.image);
        either(faults, self.image, Depth::default());
    }
}

impl IvlpSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        template(faults, self.template.as_ref());
        depth(faults, "method.image", self.image);
        depth(faults, "method.text", self.text);
        either(faults, self.image, self.text);
    }
}

impl MapleSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        template(faults, self.template.as_ref());
        vectors(faults, "method.layers", self.layers);
        vectors(faults, "method.vectors", self.vectors);
    }
}

impl PromptsrcSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        template(faults, self.template.as_ref());
        depth(faults, "method.image", self.image);
        depth(faults, "method.text", self.text);
        either(faults, self.image, self.text);
        faults.not_negative("method.text_weight", self.text_weight);
        faults.not_negative("method.image_weight", self.image_weight);
        faults.not_negative("method.logit_weight", self.logit_weight);
        if let TemplatesSpec::List(templates) = &self.templates {
            faults.templates("method.templates", templates);
        }
    }
}
