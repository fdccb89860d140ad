//! CIFAR-10 and CIFAR-100.

use super::class_names as names;
use crate::published::dataset::{
    Part, PublishedClasses, PublishedDataset, PublishedLayout, PublishedSplit, Template,
};

const TEMPLATES: &[Template] = &[Template { text: "a photo of a {}.", from: "CLIP" }];
const SPLITS: &[PublishedSplit] = &[PublishedSplit::of("train", 50_000), PublishedSplit::of("test", 10_000)];
const COUNTS: &str = "https://www.cs.toronto.edu/~kriz/cifar.html";

const fn classes(count: usize, names: &'static str) -> PublishedClasses {
    PublishedClasses { count, version: "cifar-1", names: Some(names), folders: None }
}

pub(super) const DATASETS: &[PublishedDataset] = &[
    PublishedDataset {
        name: "cifar10",
        title: "CIFAR-10",
        folders: &["cifar10", "cifar-10", "CIFAR10"],
        layout: PublishedLayout::Cifar10,
        parts: &[Part {
            paths: &["cifar-10-batches-bin/data_batch_1.bin", "cifar-10-batches-py/data_batch_1"],
            how: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz or cifar-10-python.tar.gz",
        }],
        homepage: COUNTS,
        licence: "not stated; research use, cite the report",
        megabytes: Some(170),
        templates: TEMPLATES,
        classes: classes(10, names::CIFAR10),
        splits: SPLITS,
        counts_from: COUNTS,
    },
    PublishedDataset {
        name: "cifar100",
        title: "CIFAR-100",
        folders: &["cifar100", "cifar-100", "CIFAR100"],
        layout: PublishedLayout::Cifar100,
        parts: &[Part {
            paths: &["cifar-100-binary/train.bin", "cifar-100-python/train"],
            how: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz or cifar-100-python.tar.gz",
        }],
        homepage: COUNTS,
        licence: "not stated; research use, cite the report",
        megabytes: Some(170),
        templates: TEMPLATES,
        classes: classes(100, names::CIFAR100),
        splits: SPLITS,
        counts_from: COUNTS,
    },
];
