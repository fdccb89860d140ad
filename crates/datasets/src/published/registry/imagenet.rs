//! Data sets over ImageNet's classes: four test sets of shifted images, in CoOp's layout, and the long-tailed training
//! list.

use super::coop::{CLASSNAMES, coop_template};
use crate::published::dataset::{
    Part, PublishedClasses, PublishedDataset, PublishedLayout, PublishedSplit, Template,
};

/// The 1,000 folders of ImageNet, in the order of the labels.
pub(super) const WNIDS: &str = include_str!("../../../assets/wnids/imagenet.txt");
/// The 200 folders of ImageNet-A, sorted.
const WNIDS_OF_A: &str = include_str!("../../../assets/wnids/imagenet_a.txt");
/// The 200 folders of ImageNet-R, sorted.
const WNIDS_OF_R: &str = include_str!("../../../assets/wnids/imagenet_r.txt");

const TEMPLATES: &[Template] = &coop_template("a photo of a {}.");

const fn classes(count: usize, folders: Option<&'static str>) -> PublishedClasses {
    PublishedClasses { count, version: "coop-1", names: None, folders }
}

pub(super) const DATASETS: &[PublishedDataset] = &[
    PublishedDataset {
        name: "imagenetv2",
        title: "ImageNetV2",
        folders: &["imagenetv2"],
        layout: PublishedLayout::NumberedFolders { images: "imagenetv2-matched-frequency-format-val" },
        parts: &[
            Part {
                paths: &["imagenetv2-matched-frequency-format-val"],
                how: "imagenetv2-matched-frequency.tar.gz, linked in github.com/modestyachts/ImageNetV2",
            },
            CLASSNAMES,
        ],
        homepage: "https://github.com/modestyachts/ImageNetV2",
        licence: "code MIT; images as ImageNet",
        megabytes: Some(1_260),
        templates: TEMPLATES,
        classes: classes(1000, None),
        splits: &[PublishedSplit::of("test", 10_000)],
        counts_from: "README of github.com/modestyachts/ImageNetV2",
    },
    PublishedDataset {
        name: "imagenet_sketch",
        title: "ImageNet-Sketch",
        folders: &["imagenet-sketch"],
        layout: PublishedLayout::WnidFolders { images: "images" },
        parts: &[
            Part { paths: &["images"], how: "linked in github.com/HaohanWang/ImageNet-Sketch" },
            CLASSNAMES,
        ],
        homepage: "https://github.com/HaohanWang/ImageNet-Sketch",
        licence: "code MIT; images from the web, research use",
        megabytes: Some(7_800),
        templates: TEMPLATES,
        classes: classes(1000, Some(WNIDS)),
        splits: &[PublishedSplit::of("test", 50_889)],
        counts_from: "TensorFlow Datasets, imagenet_sketch (the README says 50,000)",
    },
    PublishedDataset {
        name: "imagenet_a",
        title: "ImageNet-A",
        folders: &["imagenet-adversarial"],
        layout: PublishedLayout::WnidFolders { images: "imagenet-a" },
        parts: &[
            Part { paths: &["imagenet-a"], how: "linked in github.com/hendrycks/natural-adv-examples" },
            CLASSNAMES,
        ],
        homepage: "https://github.com/hendrycks/natural-adv-examples",
        licence: "code MIT; images from the web, research use",
        megabytes: Some(690),
        templates: TEMPLATES,
        classes: classes(200, Some(WNIDS_OF_A)),
        splits: &[PublishedSplit::of("test", 7_500)],
        counts_from: "TensorFlow Datasets, imagenet_a",
    },
    PublishedDataset {
        name: "imagenet_r",
        title: "ImageNet-R",
        folders: &["imagenet-rendition"],
        layout: PublishedLayout::WnidFolders { images: "imagenet-r" },
        parts: &[
            Part { paths: &["imagenet-r"], how: "linked in github.com/hendrycks/imagenet-r" },
            CLASSNAMES,
        ],
        homepage: "https://github.com/hendrycks/imagenet-r",
        licence: "code MIT; images from the web, research use",
        megabytes: None,
        templates: TEMPLATES,
        classes: classes(200, Some(WNIDS_OF_R)),
        splits: &[PublishedSplit::of("test", 30_000)],
        counts_from: "README of github.com/hendrycks/imagenet-r",
    },
    PublishedDataset {
        name: "imagenet_lt",
        title: "ImageNet-LT",
        folders: &["imagenet"],
        layout: PublishedLayout::ImageNetLists,
        parts: &[
            Part {
                paths: &["images/train", "train"],
                how: "image-net.org (registration), ILSVRC 2012 training images",
            },
            Part {
                paths: &["images/val", "val"],
                how: "image-net.org (registration), validation images in folders by wnid",
            },
            Part {
                paths: &["ImageNet_LT/ImageNet_LT_train.txt", "ImageNet_LT_train.txt"],
                how: "data/ImageNet_LT of github.com/facebookresearch/classifier-balancing",
            },
            Part {
                paths: &["ImageNet_LT/ImageNet_LT_test.txt", "ImageNet_LT_test.txt"],
                how: "data/ImageNet_LT of github.com/facebookresearch/classifier-balancing",
            },
            CLASSNAMES,
        ],
        homepage: "https://liuziwei7.github.io/projects/LongTail.html",
        licence: "as ImageNet",
        megabytes: Some(150_000),
        templates: TEMPLATES,
        classes: classes(1000, None),
        splits: &[
            PublishedSplit::of("train", 115_846),
            PublishedSplit::of("val", 20_000),
            PublishedSplit::of("test", 50_000),
        ],
        counts_from: "TensorFlow Datasets, imagenet_lt (Liu et al., CVPR 2019)",
    },
];
