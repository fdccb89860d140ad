//! The downstream tasks before anything is rendered: their classes, and what each of their splits shows.
//!
//! What a task costs and whether its images are known already can be told from its plan alone.

use std::path::Path;

use super::camera::Camera;
use super::parameters::{BASE_TO_NOVEL_SHOTS, BIAS_TRAIN_PER_CLASS, CAMERA_HARD, CAMERA_MILD};
use super::split_plan::{SplitPlan, Surround};
use super::tasks::{BIAS_CLASSES, TestSize, WorldTask, WorldTest, without_scenes};
use super::words::{ACTIVE, Class};
use crate::Task;
use crate::subset::long_tailed_counts;

/// A task that can be rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPlan {
    /// Name of the task, such as `world-bias-0.85`.
    pub name: String,
    /// Classes in the order of the labels.
    pub classes: Vec<Class>,
    /// Training images.
    pub train: SplitPlan,
    /// Test splits.
    pub tests: Vec<TestPlan>,
}

/// A test split of a [`TaskPlan`].
#[derive(Debug, Clone, PartialEq)]
pub struct TestPlan {
    /// Name of the split.
    pub name: &'static str,
    /// Its images; labels are positions in its [`classes`](SplitPlan::classes).
    pub split: SplitPlan,
}

impl TaskPlan {
    /// Contextual bias: in training and in the test split `id`, class `k` is before background `k`
    /// with probability `strength` (held within 0 and 1), else before any of the eight; so the two
    /// occur together at a rate of `strength + (1 - strength) / 8`. In the test split `ood` it is
    /// before any of the seven others. Photos of eight classes through the mild camera, 60 training
    /// images per class. The split `ood` is the same for every strength.
    pub fn bias(strength: f64, seed: u64, test: TestSize) -> Self {
        Self::bias_of_size(strength, seed, BIAS_TRAIN_PER_CLASS, test)
    }

    pub(super) fn bias_of_size(strength: f64, seed: u64, train_per_class: usize, test: TestSize) -> Self {
        let strength = strength.clamp(0.0, 1.0);
        let (variant, biased) = (strength.to_bits(), Surround::Biased(strength));
        let classes = BIAS_CLASSES.to_vec();
        let split = |purpose: String, seed, variant, per_class, surround| SplitPlan {
            seed,
            purpose,
            variant,
            classes: classes.clone(),
            counts: vec![per_class; classes.len()],
            camera: CAMERA_MILD,
            surround,
        };
        let train = split("world/bias/train".into(), seed, variant, train_per_class, biased);
        let tested = test.per_class(&classes);
        let id = split(test.purpose("world/bias/id"), 0, variant, tested, biased);
        let ood = split(test.purpose("world/bias/ood"), 0, 0, tested, Surround::Other);
        let tests = vec![TestPlan { name: "id", split: id }, TestPlan { name: "ood", split: ood }];
        Self { name: format!("world-bias-{strength}"), classes, train, tests }
    }

    /// Base to novel: 16 shots of ten of the active classes; the test split `base` shows the same
    /// ten, `novel` the other ten under their own names. Every style and background as often, hard
    /// camera.
    pub fn base_to_novel(seed: u64, test: TestSize) -> Self {
        let every_other = |first: usize| -> Vec<Class> {
            Class::ALL[..ACTIVE].iter().copied().skip(first).step_by(2).collect()
        };
        let (base, novel) = (every_other(0), every_other(1));
        let shots = vec![BASE_TO_NOVEL_SHOTS; base.len()];
        let train = anywhere("world/base-to-novel/train".into(), seed, &base, shots, CAMERA_HARD);
        let tests = [("base", &base), ("novel", &novel)].map(|(name, classes)| {
            let purpose = test.purpose(&format!("world/base-to-novel/{name}"));
            let counts = vec![test.per_class(classes); classes.len()];
            TestPlan { name, split: anywhere(purpose, 0, classes, counts, CAMERA_HARD) }
        });
        Self { name: "world-base-to-novel".into(), classes: base, train, tests: tests.into() }
    }

    /// Few shots: `shots` images of each of the twenty active classes, tested on one split `test`.
    /// Every style and background as often, mild camera. Fewer shots are the first of more.
    pub fn few_shot(shots: usize, seed: u64, test: TestSize) -> Self {
        Self::counted(format!("world-few-shot-{shots}"), vec![shots; ACTIVE], seed, test)
    }

    /// A long tail: of the first of the twenty active classes `largest` images, and exponentially fewer from class
    /// to class down to `largest / ratio` of the last ([`long_tailed_counts`]). Everything else is as in
    /// [`Self::few_shot`], which the ratio 1 gives; the test split `test` is the same, and balanced.
    pub fn long_tailed(largest: usize, ratio: f64, seed: u64, test: TestSize) -> Self {
        let counts = long_tailed_counts(ACTIVE, largest, ratio);
        Self::counted(format!("world-long-tailed-{largest}-{ratio}"), counts, seed, test)
    }

    /// `counts` training images of the active classes, in any style before any background, mild camera.
    fn counted(name: String, counts: Vec<usize>, seed: u64, test: TestSize) -> Self {
        let classes = Class::ALL[..ACTIVE].to_vec();
        let train = anywhere("world/few-shot/train".into(), seed, &classes, counts, CAMERA_MILD);
        let tested = vec![test.per_class(&classes); ACTIVE];
        let split = anywhere(test.purpose("world/few-shot"), 0, &classes, tested, CAMERA_MILD);
        Self { name, classes, train, tests: vec![TestPlan { name: "test", split }] }
    }

    /// Renders the task, scenes and all.
    pub fn render(&self) -> WorldTask {
        let tests = self.tests.iter().map(|test| WorldTest {
            name: test.name,
            classes: test.split.classes.clone(),
            split: test.split.render(),
        });
        WorldTask {
            name: self.name.clone(),
            classes: self.classes.clone(),
            train: self.train.render(),
            tests: tests.collect(),
        }
    }

    /// The task without the scenes. With a folder of kept images, splits that are in it are read, and the others are
    /// rendered and put into it; what comes out is the same.
    pub fn task(&self, kept: Option<&Path>) -> Task {
        let images = |split: &SplitPlan| split.images(kept);
        let tests =
            self.tests.iter().map(|test| (test.name, test.split.classes.clone(), images(&test.split)));
        without_scenes(self.name.clone(), &self.classes, images(&self.train), tests)
    }
}

/// Images in any style before any background.
fn anywhere(purpose: String, seed: u64, classes: &[Class], counts: Vec<usize>, camera: Camera) -> SplitPlan {
    let (classes, surround) = (classes.to_vec(), Surround::Anywhere);
    SplitPlan { seed, purpose, variant: 0, classes, counts, camera, surround }
}
