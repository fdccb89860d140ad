//! The three layouts, how they are found, and what a listing holds.

use super::super::{ClassName, Layout};
use super::*;
use crate::Subset;

fn raw_and_prompt(listing: &FolderListing) -> Vec<(&str, &str)> {
    listing.classes.iter().map(|ClassName { raw, prompt }| (raw.as_str(), prompt.as_str())).collect()
}

fn split_names(listing: &FolderListing) -> Vec<&str> {
    listing.splits().map(|split| split.name.as_str()).collect()
}

#[test]
fn class_folders() {
    let folder = Folder::with_classes(&["polar_bear", "Ant", "pole vaulting"], 20);
    let listing = folder.scan();
    assert_eq!(listing.layout, Layout::ClassFolders);
    let expected = [("Ant", "Ant"), ("polar_bear", "polar bear"), ("pole vaulting", "pole vaulting")];
    assert_eq!(raw_and_prompt(&listing), expected);
    assert_eq!(split_names(&listing), ["train", "id", "test"]);
    assert_eq!(listing.splits().map(|split| split.files.len()).collect::<Vec<_>>(), [54, 6, 60]);
    for file in listing.splits().flat_map(|split| &split.files) {
        let class = &listing.classes[file.label].raw;
        assert!(file.path.parent().unwrap().ends_with(class), "{file:?} has class {class}");
    }
}

#[test]
fn class_folders_without_test_images() {
    let folder = Folder::new();
    (0..10).for_each(|i| folder.image(format!("train/cat/{i}.png")));
    assert_eq!(split_names(&folder.scan()), ["train", "id"]);
    let listing = scan(&FolderRequest { hold_out: 0.0, ..folder.request() }).unwrap();
    assert_eq!((split_names(&listing), listing.train.files.len()), (vec!["train"], 10));
}

#[test]
fn flat_files() {
    let folder = Folder::new();
    for name in
        ["train/pole vaulting_1.png", "train/Ice_bear_20.PNG", "train/Ice_bear_3.png", "test/Ice_bear_0.png"]
    {
        folder.image(name);
    }
    let listing = folder.scan();
    assert_eq!(listing.layout, Layout::FlatFiles);
    assert_eq!(raw_and_prompt(&listing), [("Ice_bear", "Ice bear"), ("pole vaulting", "pole vaulting")]);
    assert_eq!(split_names(&listing), ["train", "id", "test"]);
    assert_eq!(listing.tests[0].files.len(), 1, "one of two is held out, a single image is not");
    assert_eq!(names(&listing.tests[1]), ["test/Ice_bear_0.png"]);
}

#[test]
fn domains() {
    let folder = Folder::with_domains(&["photo", "sketch", "cartoon", "art_painting"], &["dog", "cat"], 10);
    let request = folder.domains(&["photo", "cartoon"], &["sketch"]);
    let listing = scan(&request).unwrap();
    assert_eq!(listing.layout, Layout::Domains);
    assert_eq!(split_names(&listing), ["train", "id", "ood:sketch"]);
    assert_eq!(listing.splits().map(|split| split.files.len()).collect::<Vec<_>>(), [36, 4, 20]);
    assert_eq!(listing.unused_folders, ["art_painting"]);
    assert!(names(&listing.train).is_sorted());
}

#[test]
fn a_domain_may_lack_a_class() {
    let folder = Folder::with_domains(&["photo", "sketch"], &["dog", "cat"], 2);
    folder.image("sketch/emu/0.png");
    let listing = scan(&folder.domains(&["photo", "sketch"], &[])).unwrap();
    assert_eq!(listing.classes.len(), 3);
}

#[test]
fn the_layout_can_be_given() {
    let folder = Folder::with_domains(&["train", "test"], &["dog", "cat"], 2);
    let mut request = folder.domains(&["train"], &["test"]);
    assert!(matches!(scan(&request), Err(FolderError::DomainsNotUsed { .. })));
    request.layout = Some(Layout::Domains);
    assert_eq!(split_names(&scan(&request).unwrap()), ["train", "id", "ood:test"]);

    folder.image("train/stray_1.png");
    assert!(matches!(folder.refused(), FolderError::Ambiguous { .. }));
    let listing = scan(&FolderRequest { layout: Some(Layout::ClassFolders), ..folder.request() }).unwrap();
    assert_eq!((listing.classes.len(), listing.ignored), (2, 1));
}

#[test]
fn other_files_are_ignored_but_counted() {
    let folder = Folder::with_classes(&["cat", "dog"], 3);
    let others = [
        "notes.txt",
        "train/.DS_Store",
        "train/cat/Thumbs.db",
        "test/dog/meta.json",
        "train/cat/.hidden.png",
    ];
    others.iter().for_each(|name| folder.write(name, b"x"));
    folder.image("contact sheet.png");
    folder.image("__MACOSX/train/cat/0.png");
    folder.image("train/cat/more/0.png");
    folder.image("val/cat/0.png");
    let listing = folder.scan();
    assert_eq!(listing.ignored, 7);
    assert_eq!(listing.unused_folders, ["train/cat/more", "val"]);
    assert_eq!(listing.splits().map(|split| split.files.len()).sum::<usize>(), 12);
}

#[test]
fn the_fingerprint_follows_the_data_and_not_its_place() {
    let print = |folder: &Folder| folder.scan().fingerprint();
    let (a, b) = (Folder::with_classes(&["cat", "dog"], 10), Folder::with_classes(&["cat", "dog"], 10));
    assert_eq!(print(&a), print(&b));
    assert_eq!(print(&a).len(), 64);
    assert_ne!(print(&a), scan(&FolderRequest { hold_out: 0.3, ..a.request() }).unwrap().fingerprint());
    b.write("train/cat/3.png", b"another length");
    assert_ne!(print(&a), print(&b));
    b.image("train/cat/3.png");
    assert_eq!(print(&a), print(&b));
    std::fs::rename(b.path("test/dog/1.png"), b.path("test/dog/10.png")).unwrap();
    assert_ne!(print(&a), print(&b));
}

#[test]
fn the_held_out_images_are_the_same_on_every_scan() {
    let (a, b) = (Folder::with_classes(&["cat", "dog"], 30), Folder::with_classes(&["dog", "cat"], 30));
    assert_eq!(names(&a.scan().tests[0]), names(&b.scan().tests[0]));
    assert_eq!(a.scan(), a.scan());
}

#[cfg(unix)]
#[test]
fn links_to_files_are_followed_and_links_to_folders_are_not() {
    use std::os::unix::fs::symlink;
    let folder = Folder::with_classes(&["cat", "dog"], 2);
    symlink(folder.root(), folder.path("train/loop")).unwrap();
    symlink(folder.path("train/dog"), folder.path("train/cat/dogs")).unwrap();
    symlink(folder.path("train/cat/0.png"), folder.path("train/cat/linked.png")).unwrap();
    symlink(folder.path("train/cat/self.png"), folder.path("train/cat/self.png")).unwrap();
    symlink("/dev/zero", folder.path("train/cat/zero.png")).unwrap();
    let listing = folder.scan();
    assert_eq!(listing.unused_folders, ["train/cat/dogs", "train/loop"]);
    let (_, report) = folder.load();
    assert_eq!((report.images[0].images + report.images[1].images, report.ignored), (5, 1));
    assert_eq!(report.skipped.iter().map(|s| s.path.as_str()).collect::<Vec<_>>(), ["train/cat/self.png"]);
}

#[cfg(target_os = "linux")]
#[test]
fn file_names_need_not_be_utf8_but_class_names_must() {
    use std::os::unix::ffi::OsStrExt;
    let odd = |bytes: &'static [u8]| Path::new(std::ffi::OsStr::from_bytes(bytes));
    let folder = Folder::with_classes(&["cat", "dog"], 2);
    folder.image(odd(b"train/cat/\xff\xfe.png"));
    folder.write(odd(b"test/cat/\xff.png"), b"not a PNG");
    let (_, report) = folder.load();
    assert_eq!(report.images.iter().map(|split| split.images).sum::<usize>(), 9);
    assert_eq!(report.skipped[0].path, "test/cat/\u{fffd}.png");
    folder.image(odd(b"train/\xff/0.png"));
    assert!(matches!(folder.refused(), FolderError::ClassName { .. }));

    let flat = Folder::new();
    flat.image(odd(b"train/\xff_1.png"));
    assert!(matches!(flat.refused(), FolderError::ClassName { .. }));
}

#[test]
fn a_subset_is_taken_of_the_training_images_alone() {
    let folder = Folder::with_classes(&["ant", "bear"], 20);
    let whole = folder.scan();
    let kept = |subset: Subset, seed| whole.clone().with_training_subset(&subset, seed);
    let few = kept(Subset::Shots(2), 1);
    assert_eq!(few.splits().map(|split| split.files.len()).collect::<Vec<_>>(), [4, 4, 40]);
    assert_eq!(few.tests, whole.tests);
    let more = names(&kept(Subset::Shots(5), 1).train);
    assert!(names(&few.train).iter().all(|name| more.contains(name)));
    assert!(names(&few.train).is_sorted());
    assert_ne!(names(&few.train), names(&kept(Subset::Shots(2), 2).train));
    assert_ne!(few.fingerprint(), whole.fingerprint());
    assert_eq!(kept(Subset::Fraction(1.0), 1), whole);
}
