//! The downstream tasks of the world: contextual bias, base-to-novel classes, few shots, a long tail.
//!
//! Training images are drawn anew for every seed. Test images are the same for every seed, so that
//! two runs are compared on the same images; a second family of test sets exists for tuning.

use super::parameters::TEST_IMAGES;
use super::plan::TaskPlan;
use super::splits::RenderedSplit;
use super::words::{Class, TEMPLATES};
use crate::{LabelledImages, Task, TestSplit};

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

    pub(super) fn per_class(&self, classes: &[Class]) -> usize {
        self.images.div_ceil(classes.len())
    }

    /// The purpose of the streams of a test split.
    pub(super) fn purpose(&self, split: &str) -> String {
        match self.set {
            TestSet::Final => format!("{split}/test"),
            TestSet::Development => format!("{split}/development"),
        }
    }
}

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
    /// [`TaskPlan::bias`], rendered.
    pub fn bias(strength: f64, seed: u64, test: TestSize) -> Self {
        TaskPlan::bias(strength, seed, test).render()
    }

    /// [`TaskPlan::base_to_novel`], rendered.
    pub fn base_to_novel(seed: u64, test: TestSize) -> Self {
        TaskPlan::base_to_novel(seed, test).render()
    }

    /// [`TaskPlan::few_shot`], rendered.
    pub fn few_shot(shots: usize, seed: u64, test: TestSize) -> Self {
        TaskPlan::few_shot(shots, seed, test).render()
    }

    /// [`TaskPlan::long_tailed`], rendered.
    pub fn long_tailed(largest: usize, ratio: f64, seed: u64, test: TestSize) -> Self {
        TaskPlan::long_tailed(largest, ratio, seed, test).render()
    }

    /// The task without the scenes. Splits over the task's own classes bring no class names.
    pub fn into_task(self) -> Task {
        let tests = self.tests.into_iter().map(|test| (test.name, test.classes, test.split.images));
        without_scenes(self.name, &self.classes, self.train.images, tests)
    }
}

/// A task of images whose scenes are not known.
pub(super) fn without_scenes(
    name: String,
    classes: &[Class],
    train: LabelledImages,
    tests: impl Iterator<Item = (&'static str, Vec<Class>, LabelledImages)>,
) -> Task {
    let tests = tests.map(|(name, own, images)| TestSplit {
        name: name.to_string(),
        class_names: (own != classes).then(|| names(&own)),
        images,
    });
    Task {
        name,
        class_names: names(classes),
        templates: TEMPLATES.map(str::to_string).to_vec(),
        train,
        tests: tests.collect(),
    }
}

/// [`TaskPlan::bias`], rendered, without the scenes.
pub fn bias_task(strength: f64, seed: u64, test: TestSize) -> Task {
    TaskPlan::bias(strength, seed, test).task(None)
}

/// [`TaskPlan::base_to_novel`], rendered, without the scenes.
pub fn base_to_novel_task(seed: u64, test: TestSize) -> Task {
    TaskPlan::base_to_novel(seed, test).task(None)
}

/// [`TaskPlan::few_shot`], rendered, without the scenes.
pub fn few_shot_task(shots: usize, seed: u64, test: TestSize) -> Task {
    TaskPlan::few_shot(shots, seed, test).task(None)
}

/// [`TaskPlan::long_tailed`], rendered, without the scenes.
pub fn long_tailed_task(largest: usize, ratio: f64, seed: u64, test: TestSize) -> Task {
    TaskPlan::long_tailed(largest, ratio, seed, test).task(None)
}

fn names(classes: &[Class]) -> Vec<String> {
    classes.iter().map(|class| class.name().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subset::long_tailed_counts;
    use crate::world::words::{ACTIVE, Background};
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
            let task = TaskPlan::bias_of_size(strength, seed, per_class, test).render();
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
