//! Data sets with biased training images or several domains, for tests out of distribution.

use super::class_names as names;
use crate::published::dataset::{
    Part, PublishedClasses, PublishedDataset, PublishedLayout, PublishedSplit, Template,
};

const PHOTO: Template = Template { text: "a photo of a {}.", from: "CLIP" };
const THIS_IS: Template = Template { text: "this is {}.", from: "ProReg" };

const fn classes(count: usize, names: Option<&'static str>) -> PublishedClasses {
    PublishedClasses { count, version: "folders", names, folders: None }
}

const NICO_PART: &str = "the links of the homepage, or the mirrors of those who use it";

pub(super) const DATASETS: &[PublishedDataset] = &[
    PublishedDataset {
        name: "bar",
        title: "BAR",
        folders: &["bar", "BAR"],
        layout: PublishedLayout::FlatFiles,
        parts: &[
            Part { paths: &["train"], how: "the archive of github.com/alinlab/BAR" },
            Part { paths: &["test"], how: "the archive of github.com/alinlab/BAR" },
        ],
        homepage: "https://github.com/alinlab/BAR",
        licence: "research use; each image has a licence of its own, in metadata.json",
        megabytes: None,
        templates: &[Template { text: "the man is {}.", from: "ProReg" }, PHOTO],
        classes: classes(6, Some(names::BAR)),
        splits: &[
            PublishedSplit {
                name: "train",
                images: Some(1_941),
                per_class: Some(&[326, 520, 163, 279, 336, 317]),
                per_domain: None,
            },
            PublishedSplit {
                name: "test",
                images: Some(654),
                per_class: Some(&[105, 159, 42, 131, 132, 85]),
                per_domain: None,
            },
        ],
        counts_from: "README of github.com/alinlab/BAR",
    },
    PublishedDataset {
        name: "pacs",
        title: "PACS",
        folders: &["pacs", "PACS"],
        layout: PublishedLayout::KfoldLists { domains: &["art_painting", "cartoon", "photo", "sketch"] },
        parts: &[Part {
            paths: &[
                "images/art_painting",
                "images/kfold/art_painting",
                "kfold/art_painting",
                "art_painting",
            ],
            how: "the link of DATASETS.md in github.com/KaiyangZhou/Dassl.pytorch, with its list files in splits/",
        }],
        homepage: "https://dali-dl.github.io/project_iccv2017.html",
        licence: "not stated; research use",
        megabytes: Some(175),
        templates: &[THIS_IS, PHOTO],
        classes: classes(7, Some(names::PACS)),
        splits: &[PublishedSplit {
            name: "all",
            images: Some(9_991),
            per_class: None,
            per_domain: Some(&[2_048, 2_344, 1_670, 3_929]),
        }],
        counts_from: "pacs.py of Dassl.pytorch (Li et al., ICCV 2017)",
    },
    PublishedDataset {
        name: "office_home",
        title: "OfficeHome",
        folders: &["office_home", "OfficeHome", "OfficeHomeDataset_10072016", "office_home_dg"],
        layout: PublishedLayout::DomainFolders {
            domains: &[
                &["art", "Art"],
                &["clipart", "Clipart"],
                &["product", "Product"],
                &["real_world", "Real World", "Real_World", "RealWorld"],
            ],
        },
        parts: &[
            Part { paths: &["art", "Art"], how: "the link of the homepage" },
            Part { paths: &["clipart", "Clipart"], how: "the link of the homepage" },
            Part { paths: &["product", "Product"], how: "the link of the homepage" },
            Part {
                paths: &["real_world", "Real World", "Real_World", "RealWorld"],
                how: "the link of the homepage",
            },
        ],
        homepage: "https://www.hemanthdv.org/officeHomeDataset.html",
        licence: "non-commercial research",
        megabytes: None,
        templates: &[PHOTO],
        classes: classes(65, None),
        splits: &[PublishedSplit {
            name: "all",
            images: Some(15_588),
            per_class: None,
            per_domain: Some(&[2_427, 4_365, 4_439, 4_357]),
        }],
        counts_from: "code that uses it (Venkateswara et al., CVPR 2017, say about 15,500)",
    },
    PublishedDataset {
        name: "domainnet",
        title: "DomainNet",
        folders: &["domainnet", "DomainNet", "domain_net"],
        layout: PublishedLayout::DomainLists {
            domains: &["clipart", "infograph", "painting", "quickdraw", "real", "sketch"],
        },
        parts: &[
            Part { paths: &["clipart"], how: "https://ai.bu.edu/M3SDA/, the cleaned version" },
            Part { paths: &["infograph"], how: "https://ai.bu.edu/M3SDA/" },
            Part { paths: &["painting"], how: "https://ai.bu.edu/M3SDA/, the cleaned version" },
            Part { paths: &["quickdraw"], how: "https://ai.bu.edu/M3SDA/" },
            Part { paths: &["real"], how: "https://ai.bu.edu/M3SDA/" },
            Part { paths: &["sketch"], how: "https://ai.bu.edu/M3SDA/" },
            Part {
                paths: &["splits/clipart_train.txt", "clipart_train.txt"],
                how: "https://ai.bu.edu/M3SDA/: two list files, _train and _test, of each domain",
            },
        ],
        homepage: "https://ai.bu.edu/M3SDA/",
        licence: "see the homepage; research use",
        megabytes: Some(17_500),
        templates: &[PHOTO],
        classes: classes(345, None),
        splits: &[PublishedSplit {
            name: "all",
            images: Some(586_575),
            per_class: None,
            per_domain: Some(&[48_129, 51_605, 72_266, 172_500, 172_947, 69_128]),
        }],
        counts_from: "https://ai.bu.edu/M3SDA/, #Cleaned",
    },
    PublishedDataset {
        name: "nico_animal",
        title: "NICO (animal)",
        folders: &["NICO", "nico"],
        layout: PublishedLayout::ContextFolders { superclass: &["Animal", "animal"] },
        parts: &[Part { paths: &["Animal", "animal"], how: NICO_PART }],
        homepage: "https://nico.thumedialab.com",
        licence: "research use",
        megabytes: None,
        templates: &[THIS_IS, PHOTO],
        classes: classes(10, None),
        splits: &[PublishedSplit::unknown("all")],
        counts_from: "He, Shen and Cui, Pattern Recognition 2021 (arXiv:1906.02899)",
    },
    PublishedDataset {
        name: "nico_vehicle",
        title: "NICO (vehicle)",
        folders: &["NICO", "nico"],
        layout: PublishedLayout::ContextFolders { superclass: &["Vehicle", "vehicle"] },
        parts: &[Part { paths: &["Vehicle", "vehicle"], how: NICO_PART }],
        homepage: "https://nico.thumedialab.com",
        licence: "research use",
        megabytes: None,
        templates: &[THIS_IS, PHOTO],
        classes: classes(9, None),
        splits: &[PublishedSplit::unknown("all")],
        counts_from: "He, Shen and Cui, Pattern Recognition 2021 (arXiv:1906.02899)",
    },
];
