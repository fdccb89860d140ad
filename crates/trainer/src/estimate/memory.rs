//! Bytes of memory at the peak of a run.
//!
//! A run has a part that is always there, and phases that follow each other; the peak is the first and the largest of the
//! second. `docs/reference/memory.md` states the formula and compares it with measurements.

use std::fmt;

use super::blocks::{Blocks, F32, Numbers};
use super::demand::{Demand, unchanging};
use super::encoder::{ImageEncoder, blocks, text_blocks};
use super::sizes::Sizes;
use crate::experiment::{EnsembleSpace, ExperimentSpec};
use crate::optim::Rule;
use crate::training::TrainingConfig;
use crate::zero_shot::{FROZEN_CHUNK, FROZEN_TEXTS};
use regulus_clip::Precision;

/// The memory that a run will take at its peak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Name and bytes of what is in memory at the peak.
    pub parts: Vec<(&'static str, u64)>,
    /// Sum of the parts, in bytes.
    pub total: u64,
}

/// Bytes of the program itself, with its buffers.
const PROGRAM: f64 = 30.0 * 1024.0 * 1024.0;
/// Bytes of the tokenizer for each token that it knows.
const PER_TOKEN: f64 = 512.0;
/// Share of what is allocated and freed again that is lost between allocations of different sizes, or kept for others.
const GAPS: f64 = 0.125;
/// Of the class texts that are computed some at a time, what is there of all: their features, those as they are put
/// together or normalised, and their gradient.
const FEATURES_OF_PARTS: f64 = 3.0;
/// What two graphs of one computation hold, by what one holds: while the second is made, results of the first that it
/// has not taken yet are there besides.
const SHARED_BY_TWO: f64 = 1.75;
/// Texts that CoCoOp encodes at once.
const TEXTS_AT_ONCE: f64 = 1024.0;

type Parts = Vec<(&'static str, f64)>;

/// The memory of a run. Of an experiment in stages, the largest of any.
pub fn memory(spec: &ExperimentSpec, sizes: &Sizes) -> MemoryEstimate {
    let own = Run::new(spec, sizes).estimate();
    match spec.stage_before() {
        Some(stage) => {
            let before = memory(&stage, sizes);
            if before.total > own.total { before } else { own }
        }
        None => own,
    }
}

/// Encoder and text tower of a run, and what is asked of them.
pub(super) struct Run<'a> {
    pub spec: &'a ExperimentSpec,
    pub sizes: &'a Sizes,
    pub encoder: ImageEncoder,
    pub text: Blocks,
    pub demand: Demand,
    /// Inside the towers.
    pub numbers: Numbers,
    /// Classes whose texts have a graph at once.
    classes_at_once: f64,
}

/// How many classes' texts a step of the run may compute at once, where its memory budget has no room for all of them.
pub fn classes_at_once(spec: &ExperimentSpec, sizes: &Sizes) -> Option<usize> {
    let run = Run::new(spec, sizes);
    run.takes_classes_in_parts().then_some(run.classes_at_once as usize)
}

impl<'a> Run<'a> {
    pub fn new(spec: &'a ExperimentSpec, sizes: &'a Sizes) -> Self {
        let encoder = match &sizes.backbone {
            Some(backbone) => ImageEncoder::of_backbone(backbone, sizes.side()),
            None => ImageEncoder::of_clip(&sizes.clip),
        };
        let text = text_blocks(&sizes.clip.text);
        let demand = Demand::of(spec, sizes, &encoder);
        let narrow = spec.precision() != Precision::F32;
        let bytes = if narrow { F32 / 2.0 } else { F32 };
        let numbers = Numbers { bytes, fused: sizes.on_processor && !narrow };
        let classes_at_once = sizes.classes as f64;
        let run = Self { spec, sizes, encoder, text, demand, numbers, classes_at_once };
        Self { classes_at_once: run.classes_in_budget(), ..run }
    }

    /// All classes, or as many as the budget has room for besides everything else; one at least.
    fn classes_in_budget(&self) -> f64 {
        let (spec, classes) = (self.spec, self.sizes.classes as f64);
        let budget = spec.training.as_ref().and_then(|training| training.memory_budget);
        let Some(budget) = budget.filter(|_| spec.method.splits_classes()) else { return classes };
        let with = |classes_at_once: f64| {
            let run =
                Self { encoder: self.encoder.clone(), demand: self.demand.clone(), classes_at_once, ..*self };
            run.estimate().total as f64
        };
        let fits = |count: f64| with(count) <= budget.0 as f64;
        if fits(classes) {
            return classes;
        }
        // More classes never need less.
        let (mut fitting, mut too_many) = (1.0, classes);
        while too_many - fitting > 1.0 {
            let middle = ((fitting + too_many) / 2.0).floor();
            if fits(middle) { fitting = middle } else { too_many = middle }
        }
        fitting
    }

    /// Whether the memory budget has no room for the texts of all classes.
    pub fn takes_classes_in_parts(&self) -> bool {
        self.classes_at_once < self.sizes.classes as f64
    }

    /// Positions of so many class texts in the text tower. On the CPU in f32, what all of them begin with is there once.
    pub fn text_positions(&self, texts: f64) -> f64 {
        let tokens = self.text_tokens();
        let shares = self.numbers.fused && self.sizes.classes > 1 && self.demand.text.branches == 0.0;
        let own = self.demand.texts_per_image || self.demand.own_context;
        let alike = match shares && !own {
            false => 0.0,
            true => 1.0 + self.demand.text_vectors.max(self.sizes.words as f64),
        };
        let alike = alike.min(tokens - 1.0).max(0.0);
        alike + texts * (tokens - alike)
    }

    /// Tokens of a class's text.
    pub fn text_tokens(&self) -> f64 {
        let longer = (self.demand.text_vectors - self.sizes.words as f64).max(0.0);
        (self.sizes.text_tokens as f64 + longer).min(self.sizes.clip.text.context as f64)
    }

    /// Images of a forward and backward pass.
    pub fn batch(&self) -> f64 {
        let batch = self.spec.training.as_ref().map_or(0, |training| training.batch);
        batch.min(self.sizes.train) as f64
    }

    /// Texts of a forward and backward pass.
    pub fn texts(&self) -> f64 {
        self.sizes.classes as f64 * if self.demand.texts_per_image { self.batch() } else { 1.0 }
    }

    /// Texts that have a graph at once.
    fn texts_at_once(&self) -> f64 {
        self.classes_at_once * if self.demand.texts_per_image { self.batch() } else { 1.0 }
    }

    /// Whether frozen features or logits are kept for each training image.
    pub fn keeps_frozen(&self) -> bool {
        unchanging(self.spec) && self.spec.method.takes_steps()
    }

    fn estimate(&self) -> MemoryEstimate {
        let phases = [
            vec![("a pass over images without gradients", self.pass_without_gradients())],
            vec![
                ("activations of a batch", self.activations()),
                ("weights made anew in each pass", self.weights_made_anew()),
                ("gradients", self.gradients()),
            ],
            vec![("gradients", self.demand.trained * F32 * if self.demand.twice { 3.0 } else { 1.5 })],
            vec![("the average in a checkpoint", self.average())],
        ];
        let sum = |parts: &Parts| parts.iter().map(|(_, bytes)| bytes).sum::<f64>();
        let largest = phases.into_iter().reduce(|a, b| if sum(&b) > sum(&a) { b } else { a });
        let mut all: Parts = self.always();
        all.extend(largest.unwrap_or_default());
        let loaded = |name: &str| ["program and tokenizer", "model", "images"].contains(&name);
        let moving: f64 = all.iter().filter(|(name, _)| !loaded(name)).map(|(_, bytes)| bytes).sum();
        all.push(("gaps between allocations", moving * GAPS));
        let all = all.into_iter();
        let parts: Vec<(&'static str, u64)> =
            all.filter(|(_, bytes)| *bytes >= 1.0).map(|(name, bytes)| (name, bytes as u64)).collect();
        let total = parts.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        MemoryEstimate { parts, total }
    }

    /// What is in memory from the first step to the last.
    fn always(&self) -> Parts {
        let Sizes { clip, backbone, bert, train, tests, original_side, in_memory, classes, .. } = self.sizes;
        let tokenizer = clip.text.vocab as f64 * PER_TOKEN;
        let backbone = if backbone.is_some() { self.encoder.parameters } else { 0.0 };
        let bert = bert.as_ref().map_or(0.0, |bert| bert.parameter_count() as f64);
        let values = clip.parameter_count() as f64 + backbone + bert;
        let side = self.sizes.side();
        let square = |side: usize| 3.0 * (side as f64).powi(2);
        let originals = original_side.filter(|original| *original != side).map_or(0.0, square);
        let squares = if *in_memory { (*train as f64 + *tests as f64) * square(side) } else { 0.0 };
        let images = squares + *train as f64 * originals;
        let demand = &self.demand;
        // The initial values stay beside the trained ones, unless they are the model's.
        let start = demand.trained - demand.of_model;
        let trained = (demand.trained + start + demand.fixed) * F32;
        let embed = clip.embed_dim as f64;
        let mut kept = 0.0;
        if self.keeps_frozen() {
            let features = if demand.frozen_images { embed } else { 0.0 };
            let logits = if demand.teacher { *classes as f64 } else { 0.0 };
            // While they are put together they are there twice.
            kept = *train as f64 * 2.0 * (features + logits) * F32;
        }
        kept += demand.solver_copies * *train as f64 * embed * (F32 + 2.0 * 8.0);
        vec![
            ("program and tokenizer", PROGRAM + tokenizer),
            ("model", values * F32),
            ("images", images),
            ("trained parameters", trained),
            ("memory of the optimiser", self.optimiser()),
            ("parameters of the best epoch", if self.selects() { demand.trained * F32 } else { 0.0 }),
            ("frozen features and logits", kept),
            ("words of the class texts", self.words()),
            ("weights packed for the matrix unit", self.packed_weights()),
        ]
    }

    /// The words of all class texts, which prompt learning looks up once, and those of a forward pass with learned
    /// vectors among them.
    fn words(&self) -> f64 {
        let texts = self.sizes.classes as f64 + self.texts_at_once();
        let texts = if self.demand.text.any { texts } else { 0.0 };
        texts * self.text_tokens() * self.text.width * F32
    }

    /// The optimiser's memory, and the sum over epochs that an aggregation holds.
    fn optimiser(&self) -> f64 {
        let Some(training) = &self.spec.training else { return 0.0 };
        let accumulated = if training.accumulate > 1 { F32 } else { 0.0 };
        self.demand.trained * (copies(training) * F32 + accumulated) + self.average()
    }

    /// Whether validation images choose among the epochs.
    fn selects(&self) -> bool {
        self.spec.training.as_ref().is_some_and(|training| !training.selection.is_last())
    }

    /// What an aggregation adds up in f64. A checkpoint takes a copy of it.
    fn average(&self) -> f64 {
        let averages = self.spec.training.as_ref().is_some_and(|training| training.aggregated().is_some());
        if averages { self.demand.trained * 8.0 } else { 0.0 }
    }

    /// What autodiff keeps of a batch, with its pixels and what a backward pass needs besides.
    fn activations(&self) -> f64 {
        if self.spec.training.is_none() {
            return 0.0;
        }
        let Self { encoder, text, demand, numbers, .. } = self;
        let batch = self.batch();
        let of_image = encoder.kept(demand.image_vectors, demand.image, *numbers);
        let image_gradients = encoder.gradients(demand.image_vectors, *numbers);
        let texts = self.texts_at_once();
        // Fused, both grow with the positions alone; scores that are kept grow with the length of a text.
        let (of_texts, text_gradients) = match numbers.fused {
            true => {
                let positions = self.text_positions(texts);
                (text.kept(positions, demand.text, *numbers), text.gradients(positions, *numbers))
            }
            false => {
                let tokens = self.text_tokens();
                (texts * text.kept(tokens, demand.text, *numbers), texts * text.gradients(tokens, *numbers))
            }
        };
        let shared = if demand.twice { SHARED_BY_TWO } else { 1.0 };
        let backward = match (demand.image.any, demand.text.any) {
            (false, false) => 0.0,
            (true, false) => batch * image_gradients,
            (false, true) => text_gradients,
            (true, true) => (batch * image_gradients).max(text_gradients),
        };
        // A frozen tower that has to look at changed images, before or beside the others.
        let looks = (demand.teacher || demand.frozen_images) && !self.keeps_frozen();
        let frozen = if looks { batch * encoder.alive(0.0, *numbers) } else { 0.0 };
        let classes = if self.takes_classes_in_parts() { self.sizes.classes as f64 } else { 0.0 };
        let features = FEATURES_OF_PARTS * classes * self.sizes.clip.embed_dim as f64 * F32;
        2.0 * batch * encoder.pixels()
            + features
            + shared * (batch * of_image + of_texts)
            + demand.kept_of_parameters * F32
            + backward.max(frozen)
    }

    fn weights_made_anew(&self) -> f64 {
        let masked = if self.numbers.fused { 0.0 } else { self.demand.masked };
        (self.demand.changed + masked) * self.numbers.bytes
    }

    /// Gradients that are there while activations are: those of the first of two passes, or those of the layers that the
    /// backward pass has come through, of which half is counted.
    fn gradients(&self) -> f64 {
        self.demand.trained * F32 * if self.demand.twice { 1.0 } else { 0.5 }
    }

    /// The frozen model on all images and class texts, the trained one on the test images.
    fn pass_without_gradients(&self) -> f64 {
        let single = Numbers { bytes: F32, fused: self.sizes.on_processor };
        let images = (self.sizes.train.max(self.sizes.tests)).min(FROZEN_CHUNK) as f64;
        let changed = self.demand.image.any || self.demand.image_vectors > 0.0 || self.demand.changed > 0.0;
        let of_images = match changed || !self.numbers.fused || self.spec.model.backbone.is_some() {
            true => images * self.encoder.alive(self.demand.image_vectors, self.numbers),
            false => self.encoder.alive_in_parts(images, self.numbers),
        };
        let texts = match self.demand.texts_per_image {
            true => TEXTS_AT_ONCE.max(self.sizes.classes as f64),
            false => self.sizes.classes.min(FROZEN_TEXTS) as f64,
        };
        let of_texts = texts * self.text.alive(self.text_tokens(), single);
        let bert = self.sizes.bert.as_ref().map_or(0.0, |bert| {
            let stack = blocks(bert.width, bert.layers, bert.heads, bert.mlp_width);
            self.sizes.classes.min(256) as f64 * stack.alive(self.text_tokens(), single)
        });
        let weights = self.spec.ensemble.as_ref().filter(|ensemble| ensemble.space == EnsembleSpace::Weights);
        let mixed = weights.map_or(0.0, |_| self.demand.trained * F32);
        let changed = (self.demand.changed + self.demand.masked) * F32;
        of_images.max(of_texts).max(bert) + changed + mixed
    }
}

/// Values that the optimiser remembers for each parameter; of several rules, the most.
fn copies(training: &TrainingConfig) -> f64 {
    let of = |rule: &Rule| if matches!(rule, Rule::Sgd { .. }) { 1.0 } else { 2.0 };
    training.groups.values().map(|group| of(&group.optimiser)).fold(of(&training.optimiser), f64::max)
}

/// Bytes for people: `2.1 GB`, `35 MB`.
pub fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        _ if count >= 1e9 => format!("{:.1} GB", count / 1e9),
        _ => format!("{:.0} MB", (count / 1e6).max(1.0)),
    }
}

impl fmt::Display for MemoryEstimate {
    /// One line in MB for each part that has half of one, then their sum.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts.iter().filter(|(_, count)| *count >= 500_000).copied();
        let lines = parts.chain([("together", self.total)]);
        let lines: Vec<String> =
            lines.map(|(name, count)| format!("{:>7.0} MB  {name}", count as f64 / 1e6)).collect();
        formatter.write_str(&lines.join("\n"))
    }
}
