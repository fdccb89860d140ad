//! TeS in the words of a recipe, and what a recipe may say of an image encoder that is not CLIP's.

use std::path::PathBuf;

use regulus_clip::{BertPooling, Precision};
use serde::{Deserialize, Serialize};

use super::check::Faults;
use super::spec::{ExperimentSpec, HeadInit, MethodSpec};
use crate::aggregation::AggregationSpec;

/// TeS: fine-tuning of an image encoder that the texts of the classes guide. Defaults are the published settings for
/// CIFAR-100.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TesSpec {
    /// Temperature of the reference distribution (default 0.03).
    #[serde(default = "published_tau")]
    pub tau: f64,
    /// Share of the reference distribution in the soft labels (default 0.1).
    #[serde(default = "published_lambda_v")]
    pub lambda_v: f64,
    /// Factor of the text term (default 0.3).
    #[serde(default = "published_lambda_t")]
    pub lambda_t: f64,
    /// What makes features of the classes' texts (default `clip`).
    #[serde(default)]
    pub text: TextSpec,
    /// Whether class names are dealt to the wrong classes: a control (default false).
    #[serde(default)]
    pub permuted: bool,
}

/// What makes features of texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "`clip`, { bert = FOLDER, pooling = \"cls\", \"mean\" or \"pooler\" }, or { features = FILE }"
)]
pub enum TextSpec {
    /// By name.
    Named(NamedText),
    /// A BERT.
    Bert(BertSpec),
    /// A file of features.
    Features(FeaturesSpec),
}

/// A text encoder that needs no file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedText {
    /// The text tower of the model.
    Clip,
}

/// A BERT text encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BertSpec {
    /// A model folder with its tokenizer.
    pub bert: PathBuf,
    /// How a text becomes one feature.
    pub pooling: BertPooling,
}

/// Features that were computed beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesSpec {
    /// The file: see [`PrecomputedTexts`](crate::class_texts::PrecomputedTexts).
    pub features: PathBuf,
}

fn published_tau() -> f64 {
    0.03
}
fn published_lambda_v() -> f64 {
    0.1
}
fn published_lambda_t() -> f64 {
    0.3
}

impl Default for TextSpec {
    fn default() -> Self {
        Self::Named(NamedText::Clip)
    }
}

impl TextSpec {
    /// The file or folder that is named, if one is.
    pub(super) fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Named(_) => None,
            Self::Bert(bert) => Some(&mut bert.bert),
            Self::Features(file) => Some(&mut file.features),
        }
    }
}

impl TesSpec {
    /// Name of the variant, for folders and tables.
    pub(super) fn label(&self) -> String {
        let text = match &self.text {
            TextSpec::Named(_) => "",
            TextSpec::Bert(_) => "-bert",
            TextSpec::Features(_) => "-features",
        };
        let permuted = if self.permuted { "-permuted" } else { "" };
        format!("tes{text}{permuted}")
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        faults.positive("method.tau", self.tau);
        faults.share("method.lambda_v", self.lambda_v);
        faults.not_negative("method.lambda_t", self.lambda_t);
    }
}

/// Checks what a recipe says of the image encoder together with the method that trains it.
pub(super) fn check_encoder(spec: &ExperimentSpec, faults: &mut Faults) {
    let is_tes = spec.method.tes().is_some();
    if spec.model.backbone.is_some() {
        match &spec.method {
            method if method.tes().is_some() => check_masks_of_backbone(method, faults),
            MethodSpec::Finetune { head, .. } => faults.require(
                head.init == HeadInit::Fresh,
                "method.head.init",
                "is not `fresh`, but the features of `model.backbone` are in no space of texts; expected `fresh`".into(),
            ),
            other => {
                let name = other.name();
                faults.add(
                    "model.backbone",
                    format!("is given, but {name} works on CLIP's own image tower; leave it out, or use tes or finetune"),
                );
            }
        }
        faults.require(
            spec.ensemble.is_none(),
            "ensemble",
            "mixes with the zero-shot model, which reads other images than `model.backbone`; leave it out"
                .into(),
        );
        faults.require(
            spec.precision() == Precision::F32,
            "training.precision",
            "is not `f32`, and `model.backbone` computes in nothing else".into(),
        );
        faults.require(
            spec.model.resolution.is_none(),
            "model.resolution",
            "is of CLIP's image tower, whose place `model.backbone` takes; leave it out".into(),
        );
    }
    let Some(training) = &spec.training else { return };
    if is_tes {
        faults.require(
            training.batch != 1,
            "training.batch",
            "is 1; tes normalises by the statistics of a batch and needs at least 2".into(),
        );
    }
    if is_tes || spec.model.backbone.is_some() {
        let averages = training.aggregated().is_some_and(|(spec, _)| spec != AggregationSpec::Last);
        faults.require(
            !averages,
            "training.aggregation",
            "averages the parameters of epochs, which the running statistics of a normalisation would not fit".into(),
        );
    }
}

/// Gradient dropout follows a zero-shot prediction, which an encoder without texts does not have.
fn check_masks_of_backbone(method: &MethodSpec, faults: &mut Faults) {
    for (name, part) in method.parts() {
        let drops = matches!(part, MethodSpec::MaskTuning(masks) if masks.dropout.is_some());
        faults.require(
            !drops,
            &format!("method.parts.{name}.dropout"),
            "follows the zero-shot prediction, which `model.backbone` has not; set it to false".into(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, parse_toml};
    use super::*;

    const TES: &str = r#"
        seed = 1
        model = { path = "m", backbone = "b" }
        data = { kind = "world-few-shot", shots = 4 }
        method = { name = "tes" }
        [training]
        steps = 8
        batch = 4
        learning_rate = 1e-3
        schedule = { decay = "cosine" }
        optimiser = { rule = "sgd", momentum = 0.9, nesterov = true }
    "#;

    fn spec(text: &str) -> ExperimentSpec {
        parse_toml(text, "test").unwrap()
    }

    fn faults(text: &str) -> Vec<String> {
        let faults = Experiment::check(spec(text)).unwrap_err();
        faults.0.into_iter().map(|fault| fault.key).collect()
    }

    #[test]
    fn defaults_are_the_published_ones() {
        let MethodSpec::Tes(tes) = spec(TES).method else { panic!("another method") };
        assert_eq!((tes.tau, tes.lambda_v, tes.lambda_t), (0.03, 0.1, 0.3));
        assert_eq!((tes.text, tes.permuted), (TextSpec::Named(NamedText::Clip), false));
        Experiment::check(spec(TES)).unwrap();
    }

    #[test]
    fn texts_have_three_sources() {
        let text = |value: &str| {
            let text = TES.replace("name = \"tes\"", &format!("name = \"tes\", text = {value}"));
            parse_toml::<ExperimentSpec>(&text, "test").map(|spec| spec.method.label())
        };
        assert_eq!(text("\"clip\"").unwrap(), "tes");
        assert_eq!(text("{ bert = \"b\", pooling = \"pooler\" }").unwrap(), "tes-bert");
        assert_eq!(text("{ features = \"f\" }, permuted = true").unwrap(), "tes-features-permuted");
        for wrong in
            ["\"bert\"", "{ bert = \"b\" }", "{ bert = \"b\", pooling = \"max\" }", "{ feature = \"f\" }"]
        {
            let message = text(wrong).unwrap_err().to_string();
            assert!(message.contains("{ features = FILE }"), "{message}");
        }
    }

    #[test]
    fn values_out_of_range_name_their_key() {
        let wrong = TES
            .replace("name = \"tes\"", "name = \"tes\", tau = 0.0, lambda_v = 1.5, lambda_t = -1.0")
            .replace("batch = 4", "batch = 1\naggregation = { weights = \"equal\" }");
        let keys =
            ["method.tau", "method.lambda_v", "method.lambda_t", "training.batch", "training.aggregation"];
        let mut found = faults(&wrong);
        found.sort();
        let mut keys = keys.map(str::to_owned).to_vec();
        keys.sort();
        assert_eq!(found, keys);
    }

    #[test]
    fn a_backbone_is_for_methods_that_train_any_encoder() {
        let method =
            |text: &str| TES.replace("method = { name = \"tes\" }", &format!("method = {{ {text} }}"));
        assert_eq!(faults(&method("name = \"kd\", alpha = 0.5")), ["model.backbone"]);
        assert_eq!(faults(&method("name = \"coop\"")), ["model.backbone"]);
        assert_eq!(faults(&method("name = \"finetune\"")), ["method.head.init"]);
        Experiment::check(spec(&method("name = \"finetune\", head = { init = \"fresh\" }"))).unwrap();
        let resized = TES.replace("backbone = \"b\"", "backbone = \"b\", resolution = 64");
        assert_eq!(faults(&resized), ["model.resolution"]);
        let novel = TES.replace("kind = \"world-few-shot\", shots = 4", "kind = \"world-base-to-novel\"");
        assert_eq!(faults(&novel), ["data.kind"]);
    }

    #[test]
    fn identity_follows_the_encoder_and_not_its_place() {
        let id = |text: &str, model: &str| {
            Experiment::check(spec(text)).unwrap().identity(model, "data", "cpu").unwrap()
        };
        let bert = TES.replace("\"tes\"", "\"tes\", text = { bert = \"b\", pooling = \"cls\" }");
        for text in [TES, &bert] {
            let moved =
                text.replace("backbone = \"b\"", "backbone = \"c\"").replace("bert = \"b\"", "bert = \"c\"");
            assert_eq!(id(text, "digests"), id(&moved, "digests"));
            assert_ne!(id(text, "digests"), id(text, "others"));
            assert_ne!(id(text, "digests"), id(&text.replace(", backbone = \"b\"", ""), "digests"));
        }
        assert_ne!(id(&bert, "digests"), id(&bert.replace("cls", "mean"), "digests"));
    }
}
