//! Every protocol on miniatures, and the lists of sampled images.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use regulus_datasets::folders::{FolderRequest, scan};
use regulus_datasets::listing::{DatasetListing, ListedImages};
use regulus_datasets::manifest::{ManifestFormat, read_from};
use regulus_datasets::protocol::{Protocol, ProtocolTask, SampledList};
use regulus_datasets::{dassl, published};

use super::miniature::Disk;

fn read(name: &str) -> (Disk, DatasetListing) {
    let disk = Disk::with(name);
    let listing = published::read(name, disk.root()).unwrap();
    (disk, listing)
}

fn plan(protocol: &str, source: &DatasetListing, targets: &[DatasetListing]) -> Result<ProtocolTask, String> {
    let protocol: Protocol = protocol.parse().unwrap();
    protocol.plan(source, targets, 1).map_err(|error| error.to_string())
}

fn paths(listed: &ListedImages) -> Vec<(String, usize)> {
    listed.images.iter().map(|image| (image.shown(), image.label)).collect()
}

fn tests(task: &ProtocolTask) -> Vec<(&str, usize, usize)> {
    task.tests.iter().map(|test| (test.name.as_str(), test.classes.len(), test.images.images.len())).collect()
}

#[test]
fn few_shots_are_those_of_dassl() {
    let (_disk, pets) = read("oxford_pets");
    let task = plan("few-shot:4", &pets, &[]).unwrap();
    let (train, val) = (pets.split("train").unwrap(), pets.split("val").unwrap());
    let chosen = dassl::few_shot(&train.labels(), Some(&val.labels()), 4, 1);
    assert_eq!(task.train.images, train.pick(&chosen.train));
    assert_eq!(task.val.images, val.pick(&chosen.val));
    assert_eq!((task.train.images.len(), task.val.images.len()), (12, 12));
    assert_eq!(tests(&task), [("test", 3, 6)]);
    // ImageNet has no validation images.
    let (_disk, imagenet) = read("imagenet");
    assert!(plan("few-shot:1", &imagenet, &[]).unwrap().val.images.is_empty());
    assert_eq!(plan("few-shot:all", &pets, &[]).unwrap().train.images, *train);
}

#[test]
fn base_and_novel_have_classes_of_their_own() {
    let (_disk, pets) = read("oxford_pets");
    let task = plan("base-to-novel:2", &pets, &[]).unwrap();
    assert_eq!(task.classes.names, ["class_0", "class_1"]);
    assert_eq!(tests(&task), [("base", 2, 4), ("novel", 1, 2)]);
    assert_eq!(task.tests[1].classes.names, ["class_2"]);
    let novel = &task.tests[1].images;
    assert_eq!(paths(novel)[0], ("images/class_2/test_0.png".to_owned(), 0));
    assert_eq!(task.train.images.per_class(2), [2, 2]);
    // What is stored is the choice over all classes, as in Dassl's cache.
    assert_eq!(task.sampled.train.len(), 6);
    let few = plan("few-shot:2", &pets, &[]).unwrap();
    assert_eq!(few.sampled.train, task.sampled.train);
}

#[test]
fn other_data_sets_test() {
    let (_a, imagenet) = read("imagenet");
    let (_b, pets) = read("oxford_pets");
    let (_c, v2) = read("imagenetv2");
    let (_d, sketch) = read("imagenet_sketch");
    let task = plan("cross-dataset:1", &imagenet, &[pets.clone(), v2.clone()]).unwrap();
    assert_eq!(tests(&task), [("test", 3, 6), ("oxford_pets", 3, 6), ("imagenetv2", 3, 6)]);
    assert_eq!(task.tests[1].classes, pets.classes);
    assert_eq!(task.tests[1].images.root, pets.root);
    let task = plan("domain-generalisation:1", &imagenet, &[v2, sketch]).unwrap();
    assert_eq!(tests(&task), [("test", 3, 6), ("imagenetv2", 3, 6), ("imagenet_sketch", 2, 4)]);
    let error = plan("domain-generalisation:1", &imagenet, std::slice::from_ref(&pets)).unwrap_err();
    assert!(error.contains("oxford_pets has the class `class_0`"), "{error}");
    assert!(plan("cross-dataset:1", &imagenet, &[]).unwrap_err().contains("name them"));
    assert!(plan("full", &imagenet, &[pets]).unwrap_err().contains("uses no other data set"));
}

#[test]
fn bar_holds_the_same_images_out_as_the_folder_reader() {
    let (_disk, bar) = read("bar");
    let task = plan("out-of-distribution", &bar, &[]).unwrap();
    assert_eq!(tests(&task), [("id", 6, 6), ("ood", 6, 18)]);
    assert_eq!(task.train.images.len(), 66);
    assert!(task.val.images.is_empty());
    let scanned = scan(&FolderRequest::new(&bar.root)).unwrap();
    let held: Vec<String> =
        scanned.tests[0].files.iter().map(|file| file.relative.display().to_string()).collect();
    assert_eq!(paths(&task.tests[0].images).into_iter().map(|(path, _)| path).collect::<Vec<_>>(), held);
    // The same for every seed.
    let other = Protocol::OutOfDistribution { held_out: Vec::new() }.plan(&bar, &[], 9).unwrap();
    assert_eq!(other.tests, task.tests);
}

#[test]
fn every_domain_can_be_held_out() {
    let (disk, pacs) = read("pacs");
    for domain in &pacs.domains {
        let task = plan(&format!("out-of-distribution:{domain}"), &pacs, &[]).unwrap();
        // 4 images of 7 classes of each domain, 3 of them for training by the official lists.
        let ood = format!("ood:{domain}");
        assert_eq!(tests(&task), [("id", 7, 21), (ood.as_str(), 7, 28)]);
        assert_eq!(task.train.images.len(), 63);
        let of_domain = |listed: &ListedImages| {
            paths(listed).iter().filter(|(path, _)| path.starts_with(&format!("images/{domain}/"))).count()
        };
        assert_eq!((of_domain(&task.train), of_domain(&task.tests[0].images)), (0, 0));
        assert_eq!(of_domain(&task.tests[1].images), 28);
    }
    std::fs::remove_dir_all(disk.root().join("pacs/splits")).unwrap();
    let folders = published::read("pacs", disk.root()).unwrap();
    let task = plan("out-of-distribution:photo+sketch", &folders, &[]).unwrap();
    assert_eq!(tests(&task), [("id", 7, 7), ("ood:photo", 7, 28), ("ood:sketch", 7, 28)]);
    let parts =
        [&task.train, &task.tests[0].images].map(|listed| paths(listed).into_iter().collect::<BTreeSet<_>>());
    assert!(parts[0].is_disjoint(&parts[1]));

    let (_disk, net) = read("domainnet");
    let task = plan("out-of-distribution:quickdraw", &net, &[]).unwrap();
    assert_eq!(tests(&task), [("id", 2, 30), ("ood:quickdraw", 2, 6)]);
    let (_disk, nico) = read("nico_vehicle");
    let task = plan("out-of-distribution:on snow", &nico, &[]).unwrap();
    assert_eq!(tests(&task), [("id", 2, 2), ("ood:on snow", 2, 22)]);

    let wrong = |protocol: &str| plan(protocol, &net, &[]).unwrap_err();
    assert!(wrong("out-of-distribution").contains("hold out at least one"));
    assert!(wrong("out-of-distribution:skech").contains("did you mean `sketch`?"));
    assert!(
        wrong("out-of-distribution:clipart+infograph+painting+quickdraw+real+sketch").contains("not all")
    );
    let (_disk, bar) = read("bar");
    assert!(plan("out-of-distribution:x", &bar, &[]).unwrap_err().contains("has no domains"));
}

#[test]
fn full_shares_and_long_tails() {
    let (_disk, pets) = read("oxford_pets");
    let full = plan("full", &pets, &[]).unwrap();
    assert_eq!((full.train.images.len(), full.val.images.len()), (18, 15));
    assert_eq!(plan("low-data:0.5", &pets, &[]).unwrap().train.images.per_class(3), [3, 3, 3]);
    assert_eq!(plan("long-tailed:6", &pets, &[]).unwrap().train.images.per_class(3), [6, 2, 1]);
    let (_disk, long_tailed) = read("imagenet_lt");
    assert_eq!(plan("long-tailed", &long_tailed, &[]).unwrap().train.images.per_class(3), [4, 2, 1]);
    assert!(plan("low-data:1.5", &pets, &[]).unwrap_err().contains("fraction is 1.5"));
    let (_disk, home) = read("office_home");
    assert!(plan("full", &home, &[]).unwrap_err().contains("needs a split `train`, and office_home has all"));
}

#[test]
fn a_sampled_list_can_be_imported_again() {
    let (disk, pets) = read("oxford_pets");
    let protocol = Protocol::BaseToNovel { shots: 2 };
    let task = protocol.plan(&pets, &[], 5).unwrap();
    let text = task.sampled.text();
    assert!(text.starts_with(
        "regulus sampled list 1\ndataset\toxford_pets\nprotocol\tbase-to-novel:2\nseed\t5\nclasses\t"
    ));
    assert_eq!(text.lines().count(), 5 + 6 + 6);
    disk.write("shots.txt", &text);
    let list = SampledList::read(&disk.root().join("shots.txt")).unwrap();
    assert_eq!((&list, list.sha256()), (&task.sampled, task.sampled.sha256()));
    // With the list the seed does not choose any more.
    let again = protocol.plan_with(&pets, &[], 6, &list).unwrap();
    assert_eq!((&again.train, &again.val, &again.tests), (&task.train, &task.val, &task.tests));
    assert_ne!(protocol.plan(&pets, &[], 6).unwrap().train, task.train);

    let few = Protocol::FewShot { shots: 2 };
    let wrong = |text: String| {
        let list = SampledList::parse(&text).map_err(|error| error.to_string());
        list.and_then(|list| few.plan_with(&pets, &[], 1, &list).map_err(|error| error.to_string()))
            .unwrap_err()
    };
    let (label, path) =
        (task.sampled.train[0].label, String::from_utf8(task.sampled.train[0].path.clone()).unwrap());
    assert!(wrong(text.replace("oxford_pets", "dtd")).contains("it is of dtd, not of oxford_pets"));
    assert!(wrong(text.replace("classes\t", "classes\t0")).contains("class names 0"));
    assert!(wrong(text.replace(&path, "images/gone.png")).contains("images/gone.png is not an image"));
    assert!(
        wrong(text.replacen(&format!("train\t{label}\t"), "train\t7\t", 1))
            .contains("has label 7, and label")
    );
    assert!(wrong(text.replacen("train\t", "train ", 1)).contains("line 6: expected"));
    assert!(wrong(text.replace("list 1", "list 2")).contains("line 1: expected"));
    let test_image = pets.split("test").unwrap().get(0).unwrap();
    let leak = format!("{text}train\t{}\t{}\n", test_image.label, test_image.shown());
    assert!(wrong(leak).contains("an image of the test split test"));
}

#[test]
fn the_hash_is_that_of_the_text() {
    let (disk, pets) = read("oxford_pets");
    let task = plan("few-shot:1", &pets, &[]).unwrap();
    let path = disk.path("list.txt");
    std::fs::write(&path, task.sampled.text()).unwrap();
    let mut hash = <sha2::Sha256 as sha2::Digest>::new();
    sha2::Digest::update(&mut hash, std::fs::read(path).unwrap());
    let digest: String = sha2::Digest::finalize(hash).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(task.sampled.sha256(), digest);
    assert_ne!(task.sampled.sha256(), plan("few-shot:2", &pets, &[]).unwrap().sampled.sha256());
}

/// A manifest of images in three domains, four classes and two or three splits.
fn manifest() -> impl Strategy<Value = String> {
    let row = (0usize..3, 0usize..4, 0usize..3);
    (prop::collection::vec(row, 30..80), any::<bool>()).prop_map(|(rows, has_test)| {
        let splits = if has_test { ["train", "val", "test"] } else { ["train", "train", "val"] };
        let line = |(number, (domain, label, split)): (usize, (usize, usize, usize))| {
            format!("{number}.png,class {label},{},domain{domain}\n", splits[split])
        };
        let lines: String = rows.into_iter().enumerate().map(line).collect();
        format!("path,label,split,domain\n{lines}")
    })
}

proptest! {
    #[test]
    fn no_image_trains_and_tests(text in manifest(), seed: u64) {
        let listing = read_from(text.as_bytes(), ManifestFormat::Csv, Path::new("list.csv")).unwrap();
        for protocol in ["few-shot:2", "base-to-novel:1", "full", "low-data:0.3", "long-tailed:5",
            "out-of-distribution:domain0", "out-of-distribution:domain1+domain2"] {
            let protocol: Protocol = protocol.parse().unwrap();
            let Ok(task) = protocol.plan(&listing, &[], seed) else { continue };
            let mut seen = BTreeSet::new();
            let parts = [&task.train].into_iter().chain(task.tests.iter().map(|test| &test.images));
            for (path, _) in parts.flat_map(paths) {
                prop_assert!(seen.insert(path));
            }
            for test in &task.tests {
                prop_assert!(test.images.images.labels().iter().all(|&label| label < test.classes.len()));
            }
            prop_assert!(task.train.images.labels().iter().all(|&label| label < task.classes.len()));
            let again = SampledList::parse(&task.sampled.text()).unwrap();
            let imported = protocol.plan_with(&listing, &[], 0, &again).unwrap();
            prop_assert_eq!((&imported.train, &imported.val), (&task.train, &task.val));
        }
    }
}

#[test]
fn archives_and_odd_names_survive_the_list() {
    let (_disk, cifar) = read("cifar10");
    let few = Protocol::FewShot { shots: 1 };
    let task = few.plan(&cifar, &[], 1).unwrap();
    let list = SampledList::parse(&task.sampled.text()).unwrap();
    assert_eq!(few.plan_with(&cifar, &[], 1, &list).unwrap(), task);
    assert!(list.train.iter().all(|image| image.offset.is_some()));
}
