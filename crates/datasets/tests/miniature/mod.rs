//! Data sets in miniature: the exact folders and files, with rendered images of a few pixels. Shared by the tests of
//! this crate and those of the command line.

pub mod cifar_binary;

use std::path::{Path, PathBuf};

use regulus_datasets::published::{self, PublishedLayout};
use regulus_images::{RgbImage, encode_png};
use serde_json::json;
use tempfile::TempDir;

/// A folder of data sets that is deleted when the test ends.
pub struct Disk(TempDir);

impl Disk {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with the miniature of one data set.
    pub fn with(name: &str) -> Self {
        let disk = Self::new();
        disk.add(name);
        disk
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        let path = self.root().join(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn write(&self, relative: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(relative), bytes).unwrap();
    }

    /// An image of 4 x 3 pixels whose colour depends on its path, so that no two files are the same.
    pub fn image(&self, relative: impl AsRef<Path>) {
        let hash = relative
            .as_ref()
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0xcbf2_9ce4u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
        let [red, green, blue, shade] = hash.to_le_bytes();
        let pixels =
            (0..12).flat_map(|at| [red, green, blue.wrapping_add(at), shade][..3].to_vec()).collect();
        let image = RgbImage { width: 4, height: 3, pixels };
        self.write(relative, encode_png(&image).unwrap());
    }

    /// `count` images in a folder.
    pub fn images(&self, folder: &str, count: usize) {
        (0..count).for_each(|number| self.image(format!("{folder}/{number}.png")));
    }

    /// The miniature of a data set, in the folder that it is usually in.
    pub fn add(&self, name: &str) {
        let dataset = published::find(name).unwrap();
        let folder = dataset.folders[0];
        match dataset.layout {
            PublishedLayout::SplitFile { images, file } => self.split_file(folder, images, file),
            PublishedLayout::ImageNet => self.imagenet(folder),
            PublishedLayout::WnidFolders { images } => {
                self.classnames(folder);
                for wnid in &WNIDS[..2] {
                    self.images(&format!("{folder}/{images}/{wnid}"), 2);
                }
                self.write(format!("{folder}/{images}/README.txt"), "ignored");
            }
            PublishedLayout::NumberedFolders { images } => {
                self.classnames(folder);
                (0..WNIDS.len()).for_each(|label| self.images(&format!("{folder}/{images}/{label}"), 2));
            }
            PublishedLayout::ImageNetLists => {
                self.imagenet(folder);
                for (split, of, counts) in
                    [("train", "train", [4, 2, 1]), ("val", "train", [0, 0, 1]), ("test", "val", [2, 2, 2])]
                {
                    let lines = WNIDS.iter().zip(counts).enumerate().flat_map(|(label, (wnid, count))| {
                        let first = if split == "val" { 4 } else { 0 };
                        (first..first + count).map(move |n| format!("{of}/{wnid}/{n}.png {label}\n"))
                    });
                    let list: String = lines.collect();
                    self.write(format!("{folder}/ImageNet_LT/ImageNet_LT_{split}.txt"), list);
                }
            }
            PublishedLayout::Aircraft => self.aircraft(folder),
            PublishedLayout::FlatFiles => {
                for (split, count) in [("train", 12), ("test", 3)] {
                    for class in ["climbing", "diving", "fishing", "pole vaulting", "racing", "throwing"] {
                        (0..count).for_each(|n| self.image(format!("{folder}/{split}/{class}_{n}.png")));
                    }
                }
                self.write(format!("{folder}/metadata.json"), "{}");
            }
            PublishedLayout::KfoldLists { domains } => self.kfold(folder, domains),
            PublishedLayout::DomainLists { domains } => {
                for domain in domains {
                    for (split, first) in [("train", 0), ("test", 3)] {
                        let mut list = String::new();
                        for (label, class) in ["The_Eiffel_Tower", "aircraft_carrier"].iter().enumerate() {
                            for number in first..first + 3 {
                                let path = format!("{domain}/{class}/{domain}_{label}_{number}.png");
                                self.image(format!("{folder}/{path}"));
                                list.push_str(&format!("{path} {label}\n"));
                            }
                        }
                        self.write(format!("{folder}/splits/{domain}_{split}.txt"), list);
                    }
                }
            }
            PublishedLayout::DomainFolders { domains } => {
                for domain in domains {
                    for class in ["Alarm_Clock", "Backpack"] {
                        self.images(&format!("{folder}/{}/{class}", domain.last().unwrap()), 12);
                    }
                }
            }
            PublishedLayout::ContextFolders { superclass } => {
                for (class, contexts) in
                    [("bear", ["in forest", "on snow"]), ("bird", ["on branch", "on snow"])]
                {
                    for context in contexts {
                        self.images(&format!("{folder}/{}/{class}/{context}", superclass[0]), 11);
                    }
                }
            }
            PublishedLayout::Cifar10 => cifar_binary::ten_binary(self, folder),
            PublishedLayout::Cifar100 => cifar_binary::hundred_binary(self, folder),
        }
    }

    /// Three classes with images in each of `train`, `val` and `test`.
    fn split_file(&self, folder: &str, images: &str, file: &str) {
        let mut split = json!({"train": [], "val": [], "test": []});
        for (name, count) in [("train", 6), ("val", 5), ("test", 2)] {
            for label in 0..3 {
                for number in 0..count {
                    let path = format!("class_{label}/{name}_{number}.png");
                    self.image(Path::new(folder).join(images).join(&path));
                    split[name].as_array_mut().unwrap().push(json!([path, label, format!("class_{label}")]));
                }
            }
        }
        for part in ["cars_train", "cars_test"] {
            std::fs::create_dir_all(self.path(format!("{folder}/{part}"))).unwrap();
        }
        self.write(format!("{folder}/{file}"), serde_json::to_vec_pretty(&split).unwrap());
    }

    fn classnames(&self, folder: &str) {
        let lines = WNIDS.iter().zip(["tench", "goldfish", "great white shark"]);
        let text: String = lines.map(|(wnid, name)| format!("{wnid} {name}\n")).collect();
        self.write(format!("{folder}/classnames.txt"), text);
    }

    fn imagenet(&self, folder: &str) {
        self.classnames(folder);
        for (split, count) in [("train", 5), ("val", 2)] {
            for wnid in WNIDS {
                self.images(&format!("{folder}/images/{split}/{wnid}"), count);
            }
        }
    }

    fn aircraft(&self, folder: &str) {
        self.write(format!("{folder}/variants.txt"), "707-320\nA340-300\nF-16A/B\n");
        for (split, first) in [("train", 0), ("val", 2), ("test", 4)] {
            let mut list = String::new();
            for (label, variant) in ["707-320", "A340-300", "F-16A/B"].iter().enumerate() {
                for number in first..first + 2 {
                    let name = format!("{label:03}{number:04}");
                    self.image(format!("{folder}/images/{name}.jpg"));
                    list.push_str(&format!("{name} {variant}\n"));
                }
            }
            self.write(format!("{folder}/images_variant_{split}.txt"), list);
        }
    }

    /// PACS with its official lists: labels count from 1, and `test` is the union of the others.
    fn kfold(&self, folder: &str, domains: &[&str]) {
        for domain in domains {
            let mut lists = [("train", String::new()), ("crossval", String::new()), ("test", String::new())];
            for (label, class) in
                ["dog", "elephant", "giraffe", "guitar", "horse", "house", "person"].iter().enumerate()
            {
                for number in 0..4 {
                    let path = format!("{domain}/{class}/{number}.png");
                    self.image(format!("{folder}/images/{path}"));
                    let line = format!("{path} {}\n", label + 1);
                    lists[usize::from(number == 3)].1.push_str(&line);
                    lists[2].1.push_str(&line);
                }
            }
            if *domain == "sketch" {
                lists[0].1.push_str("sketch/dog/n02103406_4068-1.png 1\n");
            }
            for (split, list) in lists {
                self.write(format!("{folder}/splits/{domain}_{split}_kfold.txt"), list);
            }
        }
    }
}

/// Folders of the ImageNet miniatures.
pub const WNIDS: [&str; 3] = ["n01440764", "n01443537", "n01484850"];
