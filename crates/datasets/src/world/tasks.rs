//! The downstream tasks of the world: contextual bias, base-to-novel classes, few shots, a long tail.
//!
//! Training images are drawn anew for every seed. Test images are the same for every seed, so that
//! two runs are compared on the same images; a second family of test sets exists for tuning.

use regulus_images::random::Stream;

use super::camera::Camera;
use super::parameters::{BASE_TO_NOVEL_SHOTS, BIAS_TRAIN_PER_CLASS, CAMERA_HARD, CAMERA_MILD, TEST_IMAGES};
use super::splits::{RenderedSplit, Streams, any_background};
use super::words::{ACTIVE, Background, Class, Style, TEMPLATES};
use crate::subset::long_tailed_counts;
use crate::{Task, TestSplit};

/// The classes of the bias task; class `k` goes with background `k`. Neither word nor shape of the
/// hammer, the cup and the snake occurs in pre-training: they stand in for the long tail of classes
/// that a pre-trained model does not know.
pub const BIAS_CLASSES: [Class; 8] =
    [Class::Cat, Class::Hammer, Class::Fish, Class::Cup, Class::Tree, Class::Snake, Class::House, Class::Car];

/// Which test images, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestSize {
    /// Images of each test split; rounded up to as many for every class.
    pub images: usize,
    /// Which of the two fixed families.
    pub set: TestSet,
}

/// The two fixed families of test sets. They share no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestSet {
    /// For results.
    Final,
    /// For choosing hyper-parameters only.
    Development,
}

impl Default for TestSize {
    /// 2,000 images per split of the final test sets.
    fn default() -> Self {
        Self { images: TEST_IMAGES, set: TestSet::Final }
    }
}

impl TestSize {
    /// As the default, of the development test sets.
    pub fn development() -> Self {
        Self { set: TestSet::Development, ..Self::default() }
    }

    fn per_class(&self, classes: &[Class]) -> usize {
        self.images.div_ceil(classes.len())
    }

    /// The purpose of the streams of a test split.
    fn purpose(&self, split: &str) -> String {
        match self.set {
            TestSet::Final => format!("{split}/test"),
            TestSet::Development => format!("{split}/development"),
        }
    }
}

/// Draws the background of an image of the class with a label.
type Surround<'a> = dyn Fn(usize, &mut Stream) -> Background + Sync + 'a;

/// A task that still knows the scene of every image.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldTask {
    /// Name of the task, such as `world-bias-0.85`.
    pub name: String,
    /// Classes in the order of the labels.
    pub classes: Vec<Class>,
    /// Training images.
    pub train: RenderedSplit,
    /// Test splits.
    pub tests: Vec<WorldTest>,
}

/// A test split of a [`WorldTask`].
#[derive(Debug, Clone, PartialEq)]
pub struct WorldTest {
    /// Name of the split.
    pub name: &'static str,
    /// Classes in the order of the labels of this split.
    pub classes: Vec<Class>,
    /// Its images.
    pub split: RenderedSplit,
}

impl WorldTask {
    /// Contextual bias: in training and in the test split `id`, class `k` is before background `k`
    /// with probability `strength` (held within 0 and 1), else before any of the eight; so the two
    /// occur together at a rate of `strength + (1 - strength) / 8`. In the test split `ood` it is
    /// before any of the seven others. Photos of eight classes through the mild camera, 60 training
    /// images per class. The split `ood` is the same for every strength.
    pub fn bias(strength: f64, seed: u64, test: TestSize) -> Self {
        Self::bias_of_size(strength, seed, BIAS_TRAIN_PER_CLASS, test)
    }

    fn bias_of_size(strength: f64, seed: u64, train_per_class: usize, test: TestSize) -> Self {
        let strength = strength.clamp(0.0, 1.0);
        let biased = |label: usize, stream: &mut Stream| {
            if stream.chance(strength) { Background::ALL[label] } else { any_background(stream) }
        };
        let other = |label: usize, stream: &mut Stream| {
            let drawn = stream.below(Background::ALL.len() - 1);
            Background::ALL[if drawn >= label { drawn + 1 } else { drawn }]
        };
        let variant = strength.to_bits();
        let tested = test.per_class(&BIAS_CLASSES);
        let split = |purpose: &str, seed, variant, per_class, surround: &Surround| {
            let streams = Streams { seed, purpose, variant };
            RenderedSplit::balanced(&BIAS_CLASSES, per_class, streams, Some(CAMERA_MILD), |label, stream| {
                (surround(label, stream), Style::Photo)
            })
        };
        let train = split("world/bias/train", seed, variant, train_per_class, &biased);
        let id = split(&test.purpose("world/bias/id"), 0, variant, tested, &biased);
        let ood = split(&test.purpose("world/bias/ood"), 0, 0, tested, &other);
        let classes = BIAS_CLASSES.to_vec();
        let tests = vec![
            WorldTest { name: "id", classes: classes.clone(), split: id },
            WorldTest { name: "ood", classes: classes.clone(), split: ood },
        ];
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
        let camera = Some(CAMERA_HARD);
        let streams = Streams { seed, purpose: "world/base-to-novel/train", variant: 0 };
        let train = anything(&base, BASE_TO_NOVEL_SHOTS, streams, camera);
        let tests = [("base", &base), ("novel", &novel)].map(|(name, classes)| {
            let purpose = test.purpose(&format!("world/base-to-novel/{name}"));
            let streams = Streams { seed: 0, purpose: &purpose, variant: 0 };
            let split = anything(classes, test.per_class(classes), streams, camera);
            WorldTest { name, classes: classes.clone(), split }
        });
        Self { name: "world-base-to-novel".into(), classes: base, train, tests: tests.into() }
    }

    /// Few shots: `shots` images of each of the twenty active classes, tested on one split `test`.
    /// Every style and background as often, mild camera. Fewer shots are the first of more.
    pub fn few_shot(shots: usize, seed: u64, test: TestSize) -> Self {
        Self::counted(format!("world-few-shot-{shots}"), &[shots; ACTIVE], seed, test)
    }

    /// A long tail: of the first of the twenty active classes `largest` images, and exponentially fewer from class
    /// to class down to `largest / ratio` of the last ([`long_tailed_counts`]). Everything else is as in
    /// [`Self::few_shot`], which the ratio 1 gives; the test split `test` is the same, and balanced.
    pub fn long_tailed(largest: usize, ratio: f64, seed: u64, test: TestSize) -> Self {
        let counts = long_tailed_counts(ACTIVE, largest, ratio);
        Self::counted(format!("world-long-tailed-{largest}-{ratio}"), &counts, seed, test)
    }

    /// `counts` training images of the active classes, in any style before any background, mild camera.
    fn counted(name: String, counts: &[usize], seed: u64, test: TestSize) -> Self {
        let classes = Class::ALL[..ACTIVE].to_vec();
        let camera = Some(CAMERA_MILD);
        let streams = Streams { seed, purpose: "world/few-shot/train", variant: 0 };
        let train = RenderedSplit::unbalanced(&classes, counts, streams, camera, anywhere);
        let streams = Streams { seed: 0, purpose: &test.purpose("world/few-shot"), variant: 0 };
        let split = anything(&classes, test.per_class(&classes), streams, camera);
        let tests = vec![WorldTest { name: "test", classes: classes.clone(), split }];
        Self { name, classes, train, tests }
    }

    /// The task without the scenes. Splits over the task's own classes bring no class names.
    pub fn into_task(self) -> Task {
        let tests = self
            .tests
            .into_iter()
            .map(|test| TestSplit {
                name: test.name.to_string(),
                class_names: (test.classes != self.classes).then(|| names(&test.classes)),
                images: test.split.images,
            })
            .collect();
        Task {
            name: self.name,
            class_names: names(&self.classes),
            templates: TEMPLATES.map(str::to_string).to_vec(),
            train: self.train.images,
            tests,
        }
    }
}

/// [`WorldTask::bias`] without the scenes.
pub fn bias_task(strength: f64, seed: u64, test: TestSize) -> Task {
    WorldTask::bias(strength, seed, test).into_task()
}

/// [`WorldTask::base_to_novel`] without the scenes.
pub fn base_to_novel_task(seed: u64, test: TestSize) -> Task {
    WorldTask::base_to_novel(seed, test).into_task()
}

/// [`WorldTask::few_shot`] without the scenes.
pub fn few_shot_task(shots: usize, seed: u64, test: TestSize) -> Task {
    WorldTask::few_shot(shots, seed, test).into_task()
}

/// [`WorldTask::long_tailed`] without the scenes.
pub fn long_tailed_task(largest: usize, ratio: f64, seed: u64, test: TestSize) -> Task {
    WorldTask::long_tailed(largest, ratio, seed, test).into_task()
}

fn names(classes: &[Class]) -> Vec<String> {
    classes.iter().map(|class| class.name().to_string()).collect()
}

/// Images in any style before any background.
fn anything(classes: &[Class], per_class: usize, streams: Streams, camera: Option<Camera>) -> RenderedSplit {
    RenderedSplit::balanced(classes, per_class, streams, camera, anywhere)
}

/// Any background and any style.
fn anywhere(_: usize, stream: &mut Stream) -> (Background, Style) {
    let background = any_background(stream);
    (background, Style::ALL[stream.below(Style::ALL.len())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: TestSize = TestSize { images: 16, set: TestSet::Final };

    fn own_background_rate(split: &RenderedSplit) -> f64 {
        let own = split.scenes.iter().zip(&split.images.labels);
        own.filter(|(scene, label)| scene.background.index() == **label).count() as f64 / split.len() as f64
    }

    #[test]
    fn backgrounds_go_with_classes_as_often_as_the_strength_says() {
        for strength in [0.0, 0.7, 0.95] {
            let expected = strength + (1.0 - strength) / 8.0;
            let task = WorldTask::bias(strength, 1, TestSize::default());
            assert_eq!((task.train.len(), task.tests[0].split.len()), (480, 2_000));
            assert!((own_background_rate(&task.train) - expected).abs() < 0.06);
            assert!((own_background_rate(&task.tests[0].split) - expected).abs() < 0.03);
            let ood = &task.tests[1].split;
            assert_eq!(own_background_rate(ood), 0.0);
            for background in Background::ALL {
                let count = ood.scenes.iter().filter(|scene| scene.background == background).count();
                assert!((190..310).contains(&count), "{background:?}: {count}");
            }
        }
    }

    #[test]
    fn training_follows_the_seed_and_tests_do_not() {
        let tasks: [fn(u64) -> Task; 3] = [
            |seed| bias_task(0.85, seed, SMALL),
            |seed| base_to_novel_task(seed, SMALL),
            |seed| few_shot_task(2, seed, SMALL),
        ];
        for task in tasks {
            let (one, same, other) = (task(1), task(1), task(2));
            assert_eq!(one, same);
            assert!(one.train.images().ne(other.train.images()));
            assert_eq!(one.tests, other.tests);
        }
    }

    #[test]
    fn development_tests_are_other_images() {
        let development = TestSize { set: TestSet::Development, ..SMALL };
        let (final_tests, tuning) = (bias_task(0.85, 1, SMALL), bias_task(0.85, 1, development));
        assert_eq!(final_tests.train, tuning.train);
        for (one, other) in final_tests.tests.iter().zip(&tuning.tests) {
            assert!(one.images.images().ne(other.images.images()));
        }
    }

    #[test]
    fn novel_classes_have_their_own_names() {
        let task = base_to_novel_task(1, SMALL);
        assert_eq!(task.class_names_of(&task.tests[0]), task.class_names);
        let novel = task.class_names_of(&task.tests[1]);
        assert_eq!(novel.len(), 10);
        assert!(novel.iter().all(|name| !task.class_names.contains(name)));
        assert_eq!((task.train.len(), task.tests[1].images.len()), (160, 20));
    }

    #[test]
    fn fewer_shots_are_the_first_of_more() {
        let (few, many) = (few_shot_task(1, 4, SMALL).train, few_shot_task(3, 4, SMALL).train);
        assert!(few.images().eq(many.images().take(few.len())));
    }

    #[test]
    fn a_long_tail_holds_the_first_images_of_each_class() {
        let (tail, whole) = (WorldTask::long_tailed(6, 6.0, 4, SMALL), WorldTask::few_shot(6, 4, SMALL));
        let of_class = |task: &WorldTask, class: usize| -> Vec<Vec<u8>> {
            let images = &task.train.images;
            let own = (0..images.len()).filter(|&index| images.labels[index] == class);
            own.map(|index| images.image(index).to_vec()).collect()
        };
        let counts = long_tailed_counts(ACTIVE, 6, 6.0);
        assert_eq!((counts[0], counts[ACTIVE - 1], tail.train.len()), (6, 1, counts.iter().sum()));
        for (class, &count) in counts.iter().enumerate() {
            assert_eq!(of_class(&tail, class), of_class(&whole, class)[..count], "class {class}");
        }
        assert_eq!(tail.tests, whole.tests);
        assert_eq!(WorldTask::long_tailed(6, 1.0, 4, SMALL).train, whole.train);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn labels_are_balanced(strength in -0.5f64..1.5, seed: u64, per_class in 0usize..3, images in 0usize..20) {
            let test = TestSize { images, set: TestSet::Final };
            let task = WorldTask::bias_of_size(strength, seed, per_class, test);
            let splits = task.tests.iter().map(|test| (&test.split, images.div_ceil(8)));
            for (split, expected) in splits.chain([(&task.train, per_class)]) {
                for (label, class) in BIAS_CLASSES.iter().enumerate() {
                    let of_class = split.images.labels.iter().filter(|&&l| l == label).count();
                    prop_assert_eq!(of_class, expected);
                    let shown = split.scenes.iter().filter(|scene| scene.class == *class).count();
                    prop_assert_eq!(shown, expected);
                }
                prop_assert!(split.images.images().all(|image| image.len() == 3072));
            }
        }
    }
}
