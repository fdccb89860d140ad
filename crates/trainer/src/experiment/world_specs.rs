//! Small and unbalanced data of the built-in world in the words of a recipe, and how many images every kind of data
//! has.

use regulus_datasets::long_tailed_counts;
use regulus_datasets::world::parameters::{BASE_TO_NOVEL_SHOTS, BIAS_TRAIN_PER_CLASS};
use regulus_datasets::world::{ACTIVE, BIAS_CLASSES};
use serde::{Deserialize, Serialize};

use super::check::{Faults, check_test_images};
use super::spec::{DataSpec, default_test_images};

/// A few images of each of the twenty classes, tested on a balanced split `test`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FewShotSpec {
    /// Training images per class.
    pub shots: usize,
    /// Test images (default 2000).
    #[serde(default = "default_test_images")]
    pub test_images: usize,
    /// Use the development test set, on which hyper-parameters are chosen (default false).
    #[serde(default)]
    pub development: bool,
}

/// A long tail of the twenty classes, tested on the balanced split `test` of the few-shot task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongTailedSpec {
    /// Training images of the first class.
    pub largest: usize,
    /// How many times as many images the first class has as the last.
    pub ratio: f64,
    /// Test images (default 2000).
    #[serde(default = "default_test_images")]
    pub test_images: usize,
    /// Use the development test set, on which hyper-parameters are chosen (default false).
    #[serde(default)]
    pub development: bool,
}

/// Most training images of a class that are rendered.
const MOST_PER_CLASS: usize = 10_000;

fn per_class(faults: &mut Faults, key: &str, count: usize) {
    let fits = (1..=MOST_PER_CLASS).contains(&count);
    faults.require(fits, key, format!("is {count}; expected 1 to {MOST_PER_CLASS}"));
}

impl FewShotSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        per_class(faults, "data.shots", self.shots);
        check_test_images(self.test_images, faults);
    }
}

impl LongTailedSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        per_class(faults, "data.largest", self.largest);
        let message = format!("is {}; expected a number of 1 or more", self.ratio);
        faults.require(self.ratio.is_finite() && self.ratio >= 1.0, "data.ratio", message);
        check_test_images(self.test_images, faults);
    }
}

impl DataSpec {
    /// Number of training images, where it is known before the data is read.
    pub fn training_images(&self) -> Option<usize> {
        match self {
            Self::WorldBias { .. } => Some(BIAS_CLASSES.len() * BIAS_TRAIN_PER_CLASS),
            Self::WorldBaseToNovel { .. } => Some(ACTIVE / 2 * BASE_TO_NOVEL_SHOTS),
            Self::WorldFewShot(spec) => Some(ACTIVE * spec.shots),
            Self::WorldLongTailed(spec) => {
                Some(long_tailed_counts(ACTIVE, spec.largest, spec.ratio).iter().sum())
            }
            Self::Folder { .. } | Self::Published(_) | Self::Manifest(_) => None,
        }
    }

    /// Images of each test split, where a recipe chooses their number.
    pub fn test_images(&self) -> Option<usize> {
        match self {
            Self::WorldBias { test_images, .. } | Self::WorldBaseToNovel { test_images, .. } => {
                Some(*test_images)
            }
            Self::WorldFewShot(spec) => Some(spec.test_images),
            Self::WorldLongTailed(spec) => Some(spec.test_images),
            Self::Folder { .. } | Self::Published(_) | Self::Manifest(_) => None,
        }
    }

    /// [`Self::test_images`], to be changed.
    pub fn test_images_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::WorldBias { test_images, .. } | Self::WorldBaseToNovel { test_images, .. } => {
                Some(test_images)
            }
            Self::WorldFewShot(spec) => Some(&mut spec.test_images),
            Self::WorldLongTailed(spec) => Some(&mut spec.test_images),
            Self::Folder { .. } | Self::Published(_) | Self::Manifest(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, parse_toml};
    use super::*;
    use regulus_datasets::world::{
        TestSet, TestSize, base_to_novel_task, bias_task, few_shot_task, long_tailed_task,
    };

    fn data(text: &str) -> DataSpec {
        parse_toml(text, "test").unwrap()
    }

    #[test]
    fn training_images_are_as_many_as_are_rendered() {
        let size = TestSize { images: 1, set: TestSet::Final };
        for (text, task) in [
            ("kind = \"world-bias\"\nstrength = 0.5", bias_task(0.5, 1, size)),
            ("kind = \"world-base-to-novel\"", base_to_novel_task(1, size)),
            ("kind = \"world-few-shot\"\nshots = 3", few_shot_task(3, 1, size)),
            ("kind = \"world-long-tailed\"\nlargest = 5\nratio = 4.0", long_tailed_task(5, 4.0, 1, size)),
        ] {
            let mut data = data(text);
            assert_eq!(data.training_images(), Some(task.train.len()), "{text}");
            assert_eq!(data.known_splits().map(<[_]>::len), Some(task.tests.len()));
            assert_eq!(data.test_images(), Some(2000));
            *data.test_images_mut().unwrap() = 7;
            assert_eq!(data.test_images(), Some(7));
            assert_eq!(data.task_name(), task.name);
        }
        let folder = data("kind = \"folder\"\npath = \"p\"");
        assert_eq!((folder.training_images(), folder.test_images()), (None, None));
    }

    #[test]
    fn values_out_of_range_name_their_key() {
        let faults = |data: &str| -> Vec<String> {
            let text = format!(
                "seed = 1\nmodel = {{ path = \"m\" }}\nmethod = {{ name = \"zero-shot\" }}\n[data]\n{data}"
            );
            let faults = Experiment::check(parse_toml(&text, "test").unwrap()).unwrap_err();
            faults.0.into_iter().map(|fault| fault.key).collect()
        };
        assert_eq!(
            faults("kind = \"world-few-shot\"\nshots = 0\ntest_images = 0"),
            ["data.shots", "data.test_images"]
        );
        let tail = "kind = \"world-long-tailed\"\nlargest = 99999999\nratio = 0.5";
        assert_eq!(faults(tail), ["data.largest", "data.ratio"]);
        assert_eq!(faults("kind = \"folder\"\npath = \"p\"\nsubset = { fraction = 0.0 }"), ["data.subset"]);
    }

    #[test]
    fn a_subset_of_a_folder_is_written_in_one_of_three_ways() {
        let folder = |subset: &str| data(&format!("kind = \"folder\"\npath = \"p\"\nsubset = {subset}"));
        for (subset, name) in [
            ("{ shots = 4 }", "p-4-shots"),
            ("{ fraction = 0.25 }", "p-0.25-of-each"),
            ("{ long-tailed = { ratio = 50.0 } }", "p-long-tailed-50"),
        ] {
            let spec = folder(subset);
            assert_eq!(spec.task_name(), name);
            assert_eq!(data(&toml::to_string(&spec).unwrap()), spec);
        }
        let unknown =
            parse_toml::<DataSpec>("kind = \"folder\"\npath = \"p\"\nsubset = { shot = 4 }", "test");
        assert!(unknown.unwrap_err().to_string().contains("did you mean `shots`?"));
    }
}
