//! What `check` says of data sets that are absent, incomplete, damaged or not as published.

use regulus_datasets::listing::Sameness;
use regulus_datasets::published::{self, CheckOptions, Count};

use super::miniature::Disk;

#[test]
fn what_is_absent_is_said_with_its_source() {
    let disk = Disk::new();
    for dataset in published::list() {
        let report = published::check(dataset.name, disk.root()).unwrap();
        assert!(!report.is_usable());
        assert_eq!(report.missing.len(), dataset.parts.len());
        let text = report.to_string();
        assert!(text.contains("incomplete") && text.contains(dataset.homepage), "{text}");
        assert!(text.contains(dataset.licence) && text.contains(dataset.folders[0]), "{text}");
    }
}

#[test]
fn what_is_missing_is_named_by_its_path() {
    let disk = Disk::with("eurosat");
    std::fs::remove_file(disk.root().join("eurosat/split_zhou_EuroSAT.json")).unwrap();
    let report = published::check("eurosat", disk.root()).unwrap();
    assert_eq!(report.missing.len(), 1);
    assert_eq!(report.missing[0].path, "split_zhou_EuroSAT.json");
    assert!(report.missing[0].how.contains("DATASETS.md"));
    let error = published::read("eurosat", disk.root()).unwrap_err().to_string();
    assert!(error.contains("EuroSAT needs") && error.contains("split_zhou_EuroSAT.json"), "{error}");
}

#[test]
fn a_missing_image_is_named_with_its_entry() {
    let disk = Disk::with("dtd");
    let gone = "dtd/images/class_2/test_1.png";
    std::fs::remove_file(disk.root().join(gone)).unwrap();
    std::fs::remove_file(disk.root().join("dtd/images/class_0/train_3.png")).unwrap();
    let report = published::check("dtd", disk.root()).unwrap();
    assert!(!report.is_usable());
    assert_eq!(report.missing_images.count, 2);
    let last = &report.missing_images.first[1];
    assert_eq!((last.split.as_str(), last.path.as_str()), ("test", "images/class_2/test_1.png"));
    assert!(last.entry.as_ref().unwrap().ends_with("split_zhou_DescribableTextures.json, test[5]"));
    let error = published::read("dtd", disk.root()).unwrap().require_files().unwrap_err().to_string();
    assert!(error.contains("2 listed images are missing") && error.contains("train[3]"), "{error}");
    let options = CheckOptions { files: false, contents: false };
    assert!(published::check_with("dtd", disk.root(), options).unwrap().is_usable());
}

#[test]
fn sizes_and_names_are_compared_with_the_published_ones() {
    let disk = Disk::with("bar");
    let report = published::check("bar", disk.root()).unwrap();
    assert!(report.is_usable() && !report.is_as_published());
    let classes = report.classes.as_ref().unwrap();
    assert!(classes.agrees(), "{classes:?}");
    let of_class =
        report.counts.iter().find(|count| count.of == Count::Class("pole vaulting".into())).unwrap();
    assert_eq!((of_class.split, of_class.published, of_class.found), ("train", 279, 12));
    assert!(report.to_string().contains("train, class diving: 12 images, published 520"));

    let disk = Disk::with("food101");
    let text = published::check("food101", disk.root()).unwrap().to_string();
    assert!(text.contains("3 classes") && text.contains("published 101"), "{text}");
    assert!(text.contains("the names or their order differ"), "{text}");

    let disk = Disk::with("imagenet_a");
    let report = published::check("imagenet_a", disk.root()).unwrap();
    // Two of the folders of the miniature are not of ImageNet-A.
    assert_eq!(report.classes.unwrap().missing_folders.len(), 200);
    let disk = Disk::with("pacs");
    let report = published::check("pacs", disk.root()).unwrap();
    let sketch = report.counts.iter().find(|count| count.of == Count::Domain("sketch".into())).unwrap();
    assert_eq!((sketch.published, sketch.found), (3_929, 28));
}

#[test]
fn a_fault_is_part_of_the_report() {
    let disk = Disk::with("ucf101");
    disk.write("ucf101/split_zhou_UCF101.json", "{\"train\": [");
    let report = published::check("ucf101", disk.root()).unwrap();
    assert!(report.fault.as_ref().unwrap().contains("split_zhou_UCF101.json"));
    assert!(!report.is_usable() && report.to_string().contains("faulty"));
}

#[test]
fn images_in_two_splits_are_found_by_path_and_by_content() {
    let disk = Disk::with("caltech101");
    let images = disk.root().join("caltech-101/101_ObjectCategories/class_1");
    std::fs::copy(images.join("train_0.png"), images.join("test_1.png")).unwrap();
    // Of the same size as others, but not the same; and the same within a split, which is no leak.
    std::fs::copy(images.join("val_0.png"), images.join("val_1.png")).unwrap();
    let split = disk.root().join("caltech-101/split_zhou_Caltech101.json");
    let text =
        std::fs::read_to_string(&split).unwrap().replacen("class_0/val_4.png", "class_0/train_2.png", 1);
    std::fs::write(split, text).unwrap();
    let options = CheckOptions { files: true, contents: true };
    let report = published::check_with("caltech101", disk.root(), options).unwrap();
    let found: Vec<_> = report
        .duplicates
        .iter()
        .map(|d| (d.same, d.first.1.as_str(), d.second.1.as_str(), d.second.0.as_str()))
        .collect();
    let path = "101_ObjectCategories/class_0/train_2.png";
    let (first, second) =
        ("101_ObjectCategories/class_1/train_0.png", "101_ObjectCategories/class_1/test_1.png");
    assert_eq!(found, [(Sameness::Path, path, path, "val"), (Sameness::Content, first, second, "test")]);
    assert!(report.to_string().contains("in two splits: 2"));
    let by_path = published::check("caltech101", disk.root()).unwrap();
    assert_eq!(by_path.duplicates.len(), 1);
}

#[test]
fn reports_serialise() {
    let disk = Disk::with("eurosat");
    let json = serde_json::to_value(published::check("eurosat", disk.root()).unwrap()).unwrap();
    assert_eq!(json["splits"][0]["images"], 18);
    assert_eq!(json["counts"][0]["published"], 13_500);
}
