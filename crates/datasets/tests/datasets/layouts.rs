//! Every data set, from its miniature through the registry: list, check, splits, few shots.

use std::path::Path;

use regulus_datasets::listing::DatasetListing;
use regulus_datasets::protocol::Protocol;
use regulus_datasets::published::{self, PublishedLayout, read_image_folder};
use regulus_datasets::{Source, dassl};

use super::miniature::Disk;

fn read(name: &str) -> (Disk, DatasetListing) {
    let disk = Disk::with(name);
    let listing = published::read(name, disk.root()).unwrap();
    (disk, listing)
}

fn sizes(listing: &DatasetListing) -> Vec<(&str, usize)> {
    listing.splits.iter().map(|split| (split.name.as_str(), split.images.len())).collect()
}

fn paths(listing: &DatasetListing, split: &str) -> Vec<(String, usize)> {
    listing.split(split).unwrap().iter().map(|image| (image.shown(), image.label)).collect()
}

#[test]
fn every_data_set_is_listed_checked_and_sampled() {
    let names: Vec<&str> = published::list().map(|dataset| dataset.name).collect();
    assert_eq!(names.len(), 24);
    for name in names {
        let (disk, listing) = read(name);
        assert_eq!(listing.name, name);
        listing.require_files().unwrap();
        let report = published::check(name, disk.root()).unwrap();
        assert!(report.is_usable(), "{report}");
        assert_eq!(report.fault, None);
        let found: Vec<(&str, usize)> =
            report.splits.iter().map(|split| (split.name.as_str(), split.images)).collect();
        assert_eq!(found, sizes(&listing), "{name}");
        assert_eq!(report.duplicates, [], "{name}");
        // The same when the folder of the data set itself is given.
        let again = published::read(name, &listing.root).unwrap();
        assert_eq!(again.digest(), listing.digest(), "{name}");

        if listing.split("train").is_none() {
            continue;
        }
        let protocol = Protocol::FewShot { shots: 1 };
        let Some(test) = listing.split("test") else { continue };
        let task = protocol.plan(&listing, &[], 1).unwrap();
        let classes = listing.classes.len();
        let trained = task.train.images.per_class(classes);
        assert_eq!(
            trained,
            listing.split("train").unwrap().per_class(classes).iter().map(|&n| n.min(1)).collect::<Vec<_>>()
        );
        assert_eq!(task.tests[0].images.images.len(), test.len());
        let image = task.train.original(0).unwrap();
        assert!(image.width * image.height > 0);
        assert_eq!(task, protocol.plan(&listing, &[], 1).unwrap());
    }
}

#[test]
fn split_files_give_labels_names_and_entries() {
    let (disk, pets) = read("oxford_pets");
    assert_eq!(pets.classes.names, ["class_0", "class_1", "class_2"]);
    assert_eq!(pets.classes.for_prompts(), ["class 0", "class 1", "class 2"]);
    assert_eq!(sizes(&pets), [("train", 18), ("val", 15), ("test", 6)]);
    let image = pets.split("val").unwrap().get(7).unwrap();
    assert_eq!((image.shown().as_str(), image.label), ("images/class_1/val_2.png", 1));
    let expected = disk.root().join("oxford_pets/split_zhou_OxfordPets.json");
    assert_eq!(image.entry().unwrap(), format!("{}, val[7]", expected.display()));
    // The images of StanfordCars lie in the folder itself.
    assert_eq!(paths(&read("stanford_cars").1, "test")[0], ("class_0/test_0.png".to_owned(), 0));
}

#[test]
fn the_official_split_file_is_read() {
    let disk = Disk::new();
    let official = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/split_example.json");
    disk.write("oxford_pets/split_zhou_OxfordPets.json", std::fs::read(official).unwrap());
    for path in ["a/1.jpg", "b/2.jpg", "a/3.jpg", "b/4.jpg"] {
        disk.image(format!("oxford_pets/images/{path}"));
    }
    let pets = published::read("oxford_pets", disk.root()).unwrap();
    assert_eq!(pets.classes.names, ["abyssinian", "american_bulldog"]);
    assert_eq!(paths(&pets, "train"), [("images/a/1.jpg".to_owned(), 0), ("images/b/2.jpg".to_owned(), 1)]);
    assert_eq!(paths(&pets, "val"), [("images/a/3.jpg".to_owned(), 0)]);
    assert_eq!(paths(&pets, "test"), [("images/b/4.jpg".to_owned(), 1)]);
}

#[test]
fn the_imagenet_family_is_named_by_its_folders() {
    let (_, imagenet) = read("imagenet");
    assert_eq!(imagenet.classes.names, ["tench", "goldfish", "great white shark"]);
    assert_eq!(sizes(&imagenet), [("train", 15), ("test", 6)]);
    for (name, classes, images) in
        [("imagenetv2", 3, 6), ("imagenet_sketch", 2, 4), ("imagenet_a", 2, 4), ("imagenet_r", 2, 4)]
    {
        let (_, listing) = read(name);
        assert_eq!((listing.classes.len(), sizes(&listing)), (classes, vec![("test", images)]), "{name}");
        assert_eq!(listing.classes.names[1], "goldfish");
    }
    let (_, long_tailed) = read("imagenet_lt");
    assert_eq!(sizes(&long_tailed), [("train", 7), ("val", 1), ("test", 6)]);
    assert_eq!(long_tailed.split("train").unwrap().per_class(3), [4, 2, 1]);
    assert_eq!(paths(&long_tailed, "val"), [("images/train/n01484850/4.png".to_owned(), 2)]);
}

#[test]
fn validation_images_of_imagenet_have_to_be_sorted() {
    let disk = Disk::with("imagenet");
    std::fs::remove_dir_all(disk.root().join("imagenet/images/val")).unwrap();
    disk.image("imagenet/images/val/ILSVRC2012_val_00000001.JPEG");
    let error = published::read("imagenet", disk.root()).unwrap_err().to_string();
    assert!(error.contains("images/val holds no class folders") && error.contains("by wnid"), "{error}");
}

#[test]
fn aircraft_are_read_from_both_folders() {
    let (disk, aircraft) = read("fgvc_aircraft");
    assert_eq!(aircraft.classes.names, ["707-320", "A340-300", "F-16A/B"]);
    assert_eq!(paths(&aircraft, "val")[5], ("images/0020003.jpg".to_owned(), 2));
    std::fs::create_dir_all(disk.path("fgvc-aircraft-2013b/x")).unwrap();
    std::fs::rename(disk.root().join("fgvc_aircraft"), disk.root().join("fgvc-aircraft-2013b/data")).unwrap();
    assert_eq!(published::read("fgvc_aircraft", disk.root()).unwrap().digest(), aircraft.digest());
}

#[test]
fn pacs_is_read_by_its_lists_or_by_its_folders() {
    let (disk, lists) = read("pacs");
    assert_eq!(lists.domains, ["art_painting", "cartoon", "photo", "sketch"]);
    assert_eq!(sizes(&lists), [("train", 84), ("val", 28)]);
    assert_eq!(lists.classes.names[0], "dog");
    assert_eq!(lists.left_out.len(), 1);
    assert_eq!(paths(&lists, "val")[1], ("images/art_painting/elephant/3.png".to_owned(), 1));
    std::fs::remove_dir_all(disk.root().join("pacs/splits")).unwrap();
    let folders = published::read("pacs", disk.root()).unwrap();
    assert_eq!(sizes(&folders), [("all", 112)]);
    assert_eq!(folders.classes, lists.classes);
    let image = folders.split("all").unwrap().get(111).unwrap();
    assert_eq!((image.shown().as_str(), image.domain), ("images/sketch/person/3.png", Some(3)));
}

#[test]
fn domains_and_contexts() {
    let (_, net) = read("domainnet");
    assert_eq!(net.classes.names, ["The_Eiffel_Tower", "aircraft_carrier"]);
    assert_eq!(sizes(&net), [("train", 36), ("test", 36)]);
    let (_, home) = read("office_home");
    assert_eq!(home.domains, ["art", "clipart", "product", "real_world"]);
    assert_eq!(sizes(&home), [("all", 96)]);
    let (_, animals) = read("nico_animal");
    assert_eq!(animals.domains, ["in forest", "on branch", "on snow"]);
    assert_eq!(animals.classes.names, ["bear", "bird"]);
    assert_eq!(sizes(&animals), [("all", 44)]);

    // Office-Home as Dassl's domain generalisation has it.
    let disk = Disk::new();
    for domain in ["art", "clipart", "product", "real_world"] {
        disk.images(&format!("office_home_dg/{domain}/train/Mug"), 3);
        disk.images(&format!("office_home_dg/{domain}/val/Mug"), 1);
    }
    let home = published::read("office_home", disk.root()).unwrap();
    assert_eq!(sizes(&home), [("train", 12), ("val", 4)]);
}

#[test]
fn image_folders_with_and_without_splits() {
    let disk = Disk::new();
    for class in ["cat", "dog"] {
        disk.images(&format!("split/train/{class}/deep/er"), 2);
        disk.images(&format!("split/valid/{class}"), 1);
        disk.images(&format!("plain/{class}"), 4);
    }
    let split = read_image_folder(&disk.root().join("split")).unwrap();
    assert_eq!(sizes(&split), [("train", 4), ("val", 2)]);
    assert_eq!(paths(&split, "train")[3], ("train/dog/deep/er/1.png".to_owned(), 1));
    let plain = read_image_folder(&disk.root().join("plain")).unwrap();
    assert_eq!((plain.name.as_str(), sizes(&plain)), ("plain", vec![("all", 8)]));
    let cut = dassl::with_three_splits(plain, 1).unwrap();
    assert_eq!(sizes(&cut), [("train", 4), ("val", 2), ("test", 2)]);
    disk.images("split/valid/horse", 1);
    let error = read_image_folder(&disk.root().join("split")).unwrap_err().to_string();
    assert!(error.contains("the class `horse`"), "{error}");
    assert!(read_image_folder(Path::new("/no/such/folder")).is_err());
}

#[test]
fn training_images_can_give_a_validation_split() {
    let (_, bar) = read("bar");
    let cut = dassl::with_validation(bar.clone(), 3).unwrap();
    assert_eq!(sizes(&cut), [("train", 60), ("val", 12), ("test", 18)]);
    assert_eq!(cut.split("val").unwrap().per_class(6), [2; 6]);
    assert_eq!(dassl::with_validation(cut.clone(), 3).unwrap(), cut);
}

#[test]
fn the_registry_is_consistent() {
    for dataset in published::list() {
        assert!(dataset.templates.iter().all(|template| template.text.matches("{}").count() == 1));
        assert!(dataset.homepage.starts_with("https://"), "{}", dataset.name);
        assert!(!dataset.parts.is_empty() && !dataset.counts_from.is_empty());
        let classes = dataset.classes;
        if let Some(names) = classes.names {
            assert_eq!(names.lines().count(), classes.count, "{}", dataset.name);
        }
        if let Some(folders) = classes.folders {
            assert_eq!(folders.lines().count(), classes.count, "{}", dataset.name);
            assert!(folders.lines().is_sorted());
        }
        for split in dataset.splits {
            for parts in [split.per_class, split.per_domain].into_iter().flatten() {
                assert_eq!(
                    Some(parts.iter().sum::<usize>()),
                    split.images,
                    "{} {}",
                    dataset.name,
                    split.name
                );
            }
            assert!(split.per_class.is_none_or(|counts| counts.len() == classes.count));
        }
        if let PublishedLayout::KfoldLists { domains } | PublishedLayout::DomainLists { domains } =
            dataset.layout
        {
            let counts = dataset.splits[0].per_domain.unwrap();
            assert_eq!(counts.len(), domains.len());
        }
    }
    let error = published::find("oxford_pet").unwrap_err().to_string();
    assert!(error.contains("did you mean `oxford_pets`?"), "{error}");
}
