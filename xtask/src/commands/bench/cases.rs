//! What is measured: published methods at published batches.

use regulus_kernels::MatmulPrecision;
use regulus_trainer::experiment::{Experiment, ExperimentSpec, parse_toml};

use super::models::Model;
use crate::failure::{Failure, Outcome};

/// What a case does in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One optimiser step.
    Step,
    /// Logits of one batch of images.
    Encode,
    /// Features of all class texts.
    Text,
    /// Loading the model from its folder.
    Load,
}

/// What a turn of loading brings.
#[derive(Debug, Clone, Copy)]
pub enum Loading {
    /// The weights with their configuration.
    Weights,
    /// The weights, and with them the features of one image and one text.
    FirstFeatures,
    /// All of the model's folder.
    Folder,
}

/// One thing that is measured.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// As it is called on the command line.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    batch: usize,
    classes: usize,
    /// `[method]` and `[training]` of its experiment, without the batch.
    recipe: &'static str,
    /// Whether a residual network without texts takes the place of the image tower.
    pub has_backbone: bool,
    /// What is loaded, where something is.
    pub loading: Loading,
    /// The forms that the peer has of it in f32.
    peers: &'static [&'static str],
    /// `training.memory_budget`. Cases that have one are measured when they are asked for.
    budget: Option<&'static str>,
}

const PROMPTSRC: &str = r#"
[method]
name = "promptsrc"
image = { layers = 9, vectors = 4 }
text = { layers = 9, vectors = 4 }
text_weight = 25.0
image_weight = 10.0
logit_weight = 1.0
templates = "single"
template = "a photo of a {}."
[training]
learning_rate = 0.0025
weight_decay = 5e-4
no_decay = []
augmentation = "flip"
optimiser = { rule = "sgd", momentum = 0.9 }
"#;

const COOP: &str = r#"
[method]
name = "coop"
vectors = 16
start = "random"
template = "{}."
[training]
learning_rate = 0.002
weight_decay = 5e-4
no_decay = []
augmentation = "flip"
optimiser = { rule = "sgd", momentum = 0.9 }
"#;

const COOP_CACHED: &str = r#"
[method]
name = "coop"
vectors = 16
start = "random"
template = "{}."
[training]
learning_rate = 0.002
weight_decay = 5e-4
no_decay = []
optimiser = { rule = "sgd", momentum = 0.9 }
"#;

const R_AMT: &str = r#"
[method]
name = "r-mt"
part = "attention"
conv1 = false
dropout = { lambda = 1.0, temperature = 1.0, fuse = 1.0 }
[training]
learning_rate = 8e-5
augmentation = "flip"
optimiser = { rule = "adam", beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 }
"#;

const PROREG: &str = r#"
[method]
name = "proreg"
form = "exp10"
alpha = 2.0
[training]
learning_rate = 1e-5
weight_decay = 0.01
augmentation = "flip"
optimiser = { rule = "hf-adam-w", beta1 = 0.9, beta2 = 0.98 }
"#;

const TES: &str = r#"
[method]
name = "tes"
tau = 0.03
lambda_v = 0.1
lambda_t = 0.3
[training]
learning_rate = 0.00316
weight_decay = 1e-5
no_decay = []
augmentation = "flip"
optimiser = { rule = "sgd", momentum = 0.9, nesterov = true }
"#;

const ZERO_SHOT: &str = "[method]\nname = \"zero-shot\"\ntemplates = \"single\"\n";

/// All cases, in the order in which they are measured.
pub const CASES: [Case; 16] = [
    Case { peers: &["promptsrc"], ..step("promptsrc-50", 4, 50, PROMPTSRC) },
    Case { peers: &["promptsrc"], ..step("promptsrc-100", 4, 100, PROMPTSRC) },
    Case { peers: &["coop"], ..step("coop", 32, 100, COOP) },
    Case { peers: &["coop-cached"], ..step("coop-cached", 32, 100, COOP_CACHED) },
    Case { peers: &["r-amt-official", "r-amt-no-grad"], ..step("r-amt", 8, 100, R_AMT) },
    Case { peers: &["proreg"], ..step("proreg", 8, 100, PROREG) },
    Case { peers: &["tes"], ..step("tes", 8, 100, TES) },
    Case { peers: &["tes-resnet50"], has_backbone: true, ..step("tes-resnet50", 8, 100, TES) },
    Case { budget: Some("6GiB"), ..step("promptsrc-1000", 4, 1000, PROMPTSRC) },
    Case { budget: Some("6GiB"), ..step("coop-1000", 32, 1000, COOP_CACHED) },
    Case { budget: Some("6GiB"), ..step("coop-21000", 32, 21_000, COOP_CACHED) },
    Case { kind: Kind::Encode, peers: &["zero-shot"], ..step("zero-shot", 32, 100, ZERO_SHOT) },
    Case { kind: Kind::Text, peers: &["text"], ..step("text-1000", 1, 1000, ZERO_SHOT) },
    Case {
        kind: Kind::Load,
        peers: &["load-weights"],
        loading: Loading::Weights,
        ..step("load-weights", 1, 1, ZERO_SHOT)
    },
    Case {
        kind: Kind::Load,
        peers: &["load-first-features"],
        loading: Loading::FirstFeatures,
        ..step("load-first-features", 1, 1, ZERO_SHOT)
    },
    Case { kind: Kind::Load, peers: &["load"], ..step("load", 1, 1, ZERO_SHOT) },
];

const fn step(name: &'static str, batch: usize, classes: usize, recipe: &'static str) -> Case {
    Case {
        name,
        kind: Kind::Step,
        batch,
        classes,
        recipe,
        has_backbone: false,
        loading: Loading::Folder,
        peers: &[],
        budget: None,
    }
}

impl Case {
    /// The case of this name.
    pub fn named(name: &str) -> Option<Self> {
        CASES.into_iter().find(|case| case.name == name)
    }

    /// Whether it is measured only when it is asked for.
    pub fn is_on_request(&self) -> bool {
        self.budget.is_some()
    }

    /// The forms that the peer has of it in this arithmetic.
    pub fn peers(&self, matmul: MatmulPrecision) -> Vec<&'static str> {
        let narrow = matmul == MatmulPrecision::Bf16 && self.kind == Kind::Encode;
        self.peers.iter().copied().chain(narrow.then_some("zero-shot-bf16")).collect()
    }

    /// Images of a turn.
    pub fn batch(&self, model: Model) -> usize {
        if model == Model::Tiny { self.batch.min(4) } else { self.batch }
    }

    /// Classes that are told apart.
    pub fn classes(&self, model: Model) -> usize {
        if model == Model::Tiny { (self.classes / 10).max(2) } else { self.classes }
    }

    /// What one turn makes: its name, and how many.
    pub fn makes(&self, model: Model) -> (&'static str, usize) {
        match self.kind {
            Kind::Step => ("steps", 1),
            Kind::Encode => ("images", self.batch(model)),
            Kind::Text => ("texts", self.classes(model)),
            Kind::Load => ("models", 1),
        }
    }

    /// The experiment, as from a recipe.
    pub fn experiment(&self, model: Model, matmul: MatmulPrecision) -> Outcome<Experiment> {
        let mut recipe = format!(
            "seed = 1\nmodel = {{ path = \"random\", matmul = \"{matmul}\" }}\ndata = {{ kind = \"world-bias\", strength = 0.5 }}\n{}",
            self.recipe
        );
        if self.kind == Kind::Step {
            let batch = self.batch(model);
            recipe += &format!("batch = {batch}\nsteps = 1000000\nschedule = {{ decay = \"constant\" }}\n");
        }
        if let Some(budget) = self.budget {
            recipe += &format!("memory_budget = \"{budget}\"\n");
        }
        let spec: ExperimentSpec = parse_toml(&recipe, self.name).map_err(Failure::work)?;
        Experiment::check(spec).map_err(Failure::work)
    }
}

/// Beginnings of class names.
const QUALITIES: [&str; 32] = [
    "red", "blue", "green", "white", "black", "brown", "grey", "yellow", "small", "large", "old", "young",
    "wild", "dark", "bright", "northern", "southern", "common", "striped", "spotted", "long", "short",
    "wooden", "golden", "silver", "royal", "river", "mountain", "forest", "sea", "desert", "garden",
];

/// Ends of class names.
const THINGS: [&str; 32] = [
    "cat", "dog", "bird", "fish", "horse", "snake", "spider", "frog", "bear", "wolf", "fox", "owl", "eagle",
    "turtle", "shark", "bee", "boat", "train", "car", "bus", "bridge", "castle", "church", "tower", "guitar",
    "piano", "lamp", "chair", "table", "bottle", "clock", "hat",
];

/// Names of one to three words, as most data sets have them, all different.
pub fn class_names(count: usize) -> Vec<String> {
    let name = |index: usize| {
        let (thing, quality) = (THINGS[index % 32], QUALITIES[index / 32 % 32]);
        match index / 1024 {
            0 if index < 32 => thing.to_owned(),
            0 if index.is_multiple_of(3) => format!("{quality} {} {thing}", QUALITIES[index % 31]),
            0 => format!("{quality} {thing}"),
            round => format!("{quality} {thing} {round}"),
        }
    };
    (0..count).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_case_is_an_experiment() {
        for case in CASES {
            let experiment = case.experiment(Model::VitB16, MatmulPrecision::F32).unwrap();
            assert_eq!(experiment.spec().training.is_some(), case.kind == Kind::Step, "{}", case.name);
        }
        assert_eq!(CASES.map(|case| case.name).into_iter().collect::<BTreeSet<_>>().len(), CASES.len());
    }

    #[test]
    fn class_names_differ() {
        let names: BTreeSet<String> = class_names(3000).into_iter().collect();
        assert_eq!(names.len(), 3000);
    }
}
