//! The eleven data sets of CoOp (Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV 2022): folders as
//! in its `DATASETS.md`, templates of its `trainers/zsclip.py`, sizes of its appendix.

use super::class_names as names;
use crate::published::dataset::{
    Part, PublishedClasses, PublishedDataset, PublishedLayout, PublishedSplit, Template,
};

pub(super) const COUNTS: &str = "CoOp (arXiv:2109.01134), appendix A";
pub(super) const CLASSNAMES: Part = Part {
    paths: &["classnames.txt"],
    how: "the link of DATASETS.md in github.com/KaiyangZhou/CoOp (the names of CLIP's ImageNet notebook)",
};

pub(super) const fn coop_template(text: &'static str) -> [Template; 1] {
    [Template { text, from: "CoOp" }]
}

/// The names of a split file.
const fn classes(count: usize, names: Option<&'static str>) -> PublishedClasses {
    PublishedClasses { count, version: "coop-1", names, folders: None }
}

const fn sizes(train: usize, val: usize, test: usize) -> [PublishedSplit; 3] {
    [PublishedSplit::of("train", train), PublishedSplit::of("val", val), PublishedSplit::of("test", test)]
}

/// The split files are linked in CoOp's `DATASETS.md`.
const fn split_file(paths: &'static [&'static str]) -> Part {
    Part { paths, how: "the link of DATASETS.md in github.com/KaiyangZhou/CoOp" }
}

pub(super) const DATASETS: &[PublishedDataset] = &[
    PublishedDataset {
        name: "imagenet",
        title: "ImageNet",
        folders: &["imagenet"],
        layout: PublishedLayout::ImageNet,
        parts: &[
            Part {
                paths: &["images/train"],
                how: "image-net.org (registration), ILSVRC 2012 training images",
            },
            Part {
                paths: &["images/val"],
                how: "image-net.org (registration), validation images in folders by wnid",
            },
            CLASSNAMES,
        ],
        homepage: "https://image-net.org",
        licence: "non-commercial research and education, by agreement",
        megabytes: Some(150_000),
        templates: &coop_template("a photo of a {}."),
        classes: PublishedClasses {
            count: 1000,
            version: "coop-1",
            names: None,
            folders: Some(super::imagenet::WNIDS),
        },
        splits: &[PublishedSplit::of("train", 1_281_167), PublishedSplit::of("test", 50_000)],
        counts_from: "ILSVRC 2012 (image-net.org)",
    },
    PublishedDataset {
        name: "caltech101",
        title: "Caltech101",
        folders: &["caltech-101"],
        layout: PublishedLayout::SplitFile {
            images: "101_ObjectCategories",
            file: "split_zhou_Caltech101.json",
        },
        parts: &[
            Part { paths: &["101_ObjectCategories"], how: "https://data.caltech.edu/records/mzrjq-6wc02" },
            split_file(&["split_zhou_Caltech101.json"]),
        ],
        homepage: "https://data.caltech.edu/records/mzrjq-6wc02",
        licence: "CC BY 4.0",
        megabytes: Some(137),
        templates: &coop_template("a photo of a {}."),
        classes: classes(100, Some(names::CALTECH101)),
        splits: &sizes(4_128, 1_649, 2_465),
        counts_from: COUNTS,
    },
    PublishedDataset {
        name: "oxford_pets",
        title: "OxfordPets",
        folders: &["oxford_pets"],
        layout: PublishedLayout::SplitFile { images: "images", file: "split_zhou_OxfordPets.json" },
        parts: &[
            Part { paths: &["images"], how: "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz" },
            split_file(&["split_zhou_OxfordPets.json"]),
        ],
        homepage: "https://www.robots.ox.ac.uk/~vgg/data/pets/",
        licence: "CC BY-SA 4.0",
        megabytes: Some(800),
        templates: &coop_template("a photo of a {}, a type of pet."),
        classes: classes(37, Some(names::OXFORD_PETS)),
        splits: &sizes(2_944, 736, 3_669),
        counts_from: COUNTS,
    },
    PublishedDataset {
        name: "stanford_cars",
        title: "StanfordCars",
        folders: &["stanford_cars"],
        layout: PublishedLayout::SplitFile { images: "", file: "split_zhou_StanfordCars.json" },
        parts: &[
            Part {
                paths: &["cars_train"],
                how: "the images of the homepage; its server no longer answers everywhere",
            },
            Part {
                paths: &["cars_test"],
                how: "the images of the homepage; its server no longer answers everywhere",
            },
            split_file(&["split_zhou_StanfordCars.json"]),
        ],
        homepage: "https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
        licence: "non-commercial research (as ImageNet)",
        megabytes: None,
        templates: &coop_template("a photo of a {}."),
        classes: classes(196, None),
        splits: &sizes(6_509, 1_635, 8_041),
        counts_from: COUNTS,
    },
    PublishedDataset {
        name: "oxford_flowers",
        title: "Flowers102",
        folders: &["oxford_flowers"],
        layout: PublishedLayout::SplitFile { images: "jpg", file: "split_zhou_OxfordFlowers.json" },
        parts: &[
            Part { paths: &["jpg"], how: "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz" },
            split_file(&["split_zhou_OxfordFlowers.json"]),
        ],
        homepage: "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        licence: "not stated; research use",
        megabytes: Some(330),
        templates: &coop_template("a photo of a {}, a type of flower."),
        classes: classes(102, None),
        splits: &sizes(4_093, 1_633, 2_463),
        counts_from: COUNTS,
    },
    PublishedDataset {
        name: "food101",
        title: "Food101",
        folders: &["food-101"],
        layout: PublishedLayout::SplitFile { images: "images", file: "split_zhou_Food101.json" },
        parts: &[
            Part { paths: &["images"], how: "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/" },
            split_file(&["split_zhou_Food101.json"]),
        ],
        homepage: "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        licence: "images belong to Foodspotting; scientific fair use",
        megabytes: Some(5_000),
        templates: &coop_template("a photo of {}, a type of food."),
        classes: classes(101, Some(names::FOOD101)),
        splits: &sizes(50_500, 20_200, 30_300),
        counts_from: COUNTS,
    },
    PublishedDataset {
        name: "fgvc_aircraft",
        title: "FGVCAircraft",
        folders: &["fgvc_aircraft", "fgvc-aircraft-2013b/data"],
        layout: PublishedLayout::Aircraft,
        parts: &[
            Part {
                paths: &["images"],
                how: "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
            },
            Part { paths: &["variants.txt"], how: "the folder `data` of the same archive" },
            Part { paths: &["images_variant_train.txt"], how: "the folder `data` of the same archive" },
            Part { paths: &["images_variant_val.txt"], how: "the folder `data` of the same archive" },
            Part { paths: &["images_variant_test.txt"], how: "the folder `data` of the same archive" },
        ],
        homepage: "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
        licence: "non-commercial research",
        megabytes: Some(2_750),
        templates: &coop_template("a photo of a {}, a type of aircraft."),
        classes: classes(100, None),
        splits: &sizes(3_334, 3_333, 3_333),
        counts_from: COUNTS,
    },
    PublishedDataset {
        name: "sun397",
        title: "SUN397",
        folders: &["sun397"],
        layout: PublishedLayout::SplitFile { images: "SUN397", file: "split_zhou_SUN397.json" },
        parts: &[
            Part { paths: &["SUN397"], how: "http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz" },
            split_file(&["split_zhou_SUN397.json"]),
        ],
        homepage: "https://vision.princeton.edu/projects/2010/SUN/",
        licence: "research use",
        megabytes: Some(37_000),
        templates: &coop_template("a photo of a {}."),
        classes: classes(397, None),
        splits: &sizes(15_880, 3_970, 19_850),
        counts_from: COUNTS,
    },
    PublishedDataset {
        name: "dtd",
        title: "DTD",
        folders: &["dtd"],
        layout: PublishedLayout::SplitFile { images: "images", file: "split_zhou_DescribableTextures.json" },
        parts: &[
            Part {
                paths: &["images"],
                how: "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
            },
            split_file(&["split_zhou_DescribableTextures.json"]),
        ],
        homepage: "https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        licence: "research use",
        megabytes: Some(600),
        templates: &coop_template("{} texture."),
        classes: classes(47, Some(names::DTD)),
        splits: &sizes(2_820, 1_128, 1_692),
        counts_from: COUNTS,
    },
    PublishedDataset {
        name: "eurosat",
        title: "EuroSAT",
        folders: &["eurosat"],
        layout: PublishedLayout::SplitFile { images: "2750", file: "split_zhou_EuroSAT.json" },
        parts: &[
            Part { paths: &["2750"], how: "http://madm.dfki.de/files/sentinel/EuroSAT.zip" },
            split_file(&["split_zhou_EuroSAT.json"]),
        ],
        homepage: "https://github.com/phelber/EuroSAT",
        licence: "MIT",
        megabytes: Some(90),
        templates: &coop_template("a centered satellite photo of {}."),
        classes: classes(10, Some(names::EUROSAT)),
        splits: &sizes(13_500, 5_400, 8_100),
        counts_from: COUNTS,
    },
    PublishedDataset {
        name: "ucf101",
        title: "UCF101",
        folders: &["ucf101"],
        layout: PublishedLayout::SplitFile { images: "UCF-101-midframes", file: "split_zhou_UCF101.json" },
        parts: &[
            Part {
                paths: &["UCF-101-midframes"],
                how: "UCF-101-midframes.zip, linked in DATASETS.md of github.com/KaiyangZhou/CoOp",
            },
            split_file(&["split_zhou_UCF101.json"]),
        ],
        homepage: "https://www.crcv.ucf.edu/data/UCF101.php",
        licence: "not stated; research use",
        megabytes: None,
        templates: &coop_template("a photo of a person doing {}."),
        classes: classes(101, None),
        splits: &sizes(7_639, 1_898, 3_783),
        counts_from: COUNTS,
    },
];
