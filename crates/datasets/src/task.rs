//! A classification task: what a method trains on and what it is tested on. The built-in world and
//! folders on disk both end here, so that methods never know where their images came from.

use crate::labelled::LabelledImages;

/// Training images, test images and the words that name the classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Short name for folders and reports, such as `world-bias-0.85`.
    pub name: String,
    /// Name of each class, in the order of the labels.
    pub class_names: Vec<String>,
    /// Prompt templates with `{}` in the place of the class name; the first is the single template
    /// of methods that use only one.
    pub templates: Vec<String>,
    /// Training images; labels index `class_names`.
    pub train: LabelledImages,
    /// Test splits.
    pub tests: Vec<TestSplit>,
}

/// Images that a task is tested on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestSplit {
    /// Name of the split: `id` and `ood`, `base` and `novel`, or `test`.
    pub name: String,
    /// Test images; labels index the class names of this split.
    pub images: LabelledImages,
    /// Class names of this split where they are not those of the task, as in base-to-novel.
    pub class_names: Option<Vec<String>>,
}

impl TestSplit {
    /// A split over the classes of its task.
    pub fn new(name: impl Into<String>, images: LabelledImages) -> Self {
        Self { name: name.into(), images, class_names: None }
    }

    /// A split over classes of its own.
    pub fn with_classes(name: impl Into<String>, images: LabelledImages, class_names: Vec<String>) -> Self {
        Self { name: name.into(), images, class_names: Some(class_names) }
    }
}

impl Task {
    /// The class names that the labels of `split` index.
    pub fn class_names_of<'a>(&'a self, split: &'a TestSplit) -> &'a [String] {
        split.class_names.as_deref().unwrap_or(&self.class_names)
    }

    /// The split called `name`.
    pub fn test(&self, name: &str) -> Option<&TestSplit> {
        self.tests.iter().find(|split| split.name == name)
    }
}

/// The prompt that `template` gives for a class: every `{}` is replaced by the name.
///
/// ```
/// assert_eq!(regulus_datasets::prompt("a photo of a {}", "cat"), "a photo of a cat");
/// ```
pub fn prompt(template: &str, class_name: &str) -> String {
    template.replace("{}", class_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_may_bring_its_own_classes() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
        let task = Task {
            name: "t".into(),
            class_names: names(&["cat"]),
            templates: names(&["a {}"]),
            train: LabelledImages::default(),
            tests: vec![
                TestSplit::new("base", LabelledImages::default()),
                TestSplit::with_classes("novel", LabelledImages::default(), names(&["car"])),
            ],
        };
        assert_eq!(task.class_names_of(&task.tests[0]), ["cat"]);
        assert_eq!(task.class_names_of(&task.tests[1]), ["car"]);
        assert_eq!(task.test("novel").map(|split| split.name.as_str()), Some("novel"));
        assert!(task.test("test").is_none());
    }
}
