//! Squares of whole data sets: the same from memory, from a new cache and from an old one, with the same account.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use regulus_datasets::LabelledImages;
use regulus_datasets::folders::{FolderListing, FolderRequest, LoadedFolder, load, scan};
use regulus_datasets::loader::{CacheFolder, SquareStore};
use regulus_images::{Preprocess, RgbImage, encode_png};

use super::miniature::Disk;

const CLASSES: [&str; 2] = ["cat", "dog"];
const SQUARE: u64 = 4 * 4 * 3;

/// Three training images and two test images of each class, last changed an hour ago; one more does not decode, and
/// one is animated.
fn photographs() -> Disk {
    let disk = Disk::new();
    for class in CLASSES {
        disk.images(&format!("images/train/{class}"), 3);
        disk.images(&format!("images/test/{class}"), 2);
    }
    disk.write("images/train/cat/broken.png", b"no image");
    // One pixel, two colours, two frames.
    let screen = [&b"GIF89a"[..], &[1, 0, 1, 0, 0x80, 0, 0], &[10, 20, 30, 200, 210, 220]].concat();
    let frame = [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0];
    disk.write("images/test/dog/moving.gif", [&screen[..], &frame, &frame, &[0x3b]].concat());
    for split in ["train", "test"] {
        for class in CLASSES {
            let files = std::fs::read_dir(disk.root().join("images").join(split).join(class)).unwrap();
            files.for_each(|file| age(&file.unwrap().path()));
        }
    }
    disk
}

fn age(file: &Path) {
    let time = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
}

fn listing(disk: &Disk) -> FolderListing {
    scan(&FolderRequest { hold_out: 0.0, ..FolderRequest::new(disk.root().join("images")) }).unwrap()
}

fn loaded(disk: &Disk, store: &SquareStore) -> LoadedFolder {
    load(&listing(disk), &Preprocess::clip(4), store, &|_, _| {}).unwrap()
}

fn cached(disk: &Disk, budget: u64) -> SquareStore {
    SquareStore { memory: 0, cache: Some(CacheFolder { path: disk.root().join("cache"), budget }) }
}

fn caches(disk: &Disk) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(disk.root().join("cache")).into_iter().flatten();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "squares"));
    files.sort();
    files
}

fn are_cached(loaded: &LoadedFolder) -> [bool; 2] {
    [&loaded.task.train, &loaded.task.tests[0].images]
        .map(|images: &LabelledImages| images.pixels.are_cached())
}

#[test]
fn a_cache_changes_neither_images_nor_the_report() {
    let disk = photographs();
    let plain = loaded(&disk, &SquareStore::default());
    assert_eq!((plain.task.train.len(), plain.report.skipped.len()), (6, 1));
    assert!(!plain.report.oddities.is_empty(), "{}", plain.report);
    let store = cached(&disk, 1 << 20);
    for _ in 0..2 {
        let kept = loaded(&disk, &store);
        assert_eq!(are_cached(&kept), [true; 2]);
        assert_eq!(kept, plain);
        assert_eq!(caches(&disk).len(), 2, "one for each split");
    }
}

#[test]
fn a_changed_image_is_seen() {
    let disk = photographs();
    let store = cached(&disk, 1 << 20);
    let before = loaded(&disk, &store);
    let changed = disk.root().join("images/train/cat/1.png");
    let image = RgbImage { width: 4, height: 3, pixels: (0..36).collect() };
    std::fs::write(&changed, encode_png(&image).unwrap()).unwrap();
    age(&changed);
    let after = loaded(&disk, &store);
    assert_ne!(before.task, after.task);
    assert_eq!(after, loaded(&disk, &SquareStore::default()));
}

#[test]
fn images_that_changed_a_moment_ago_are_kept_in_memory() {
    let disk = photographs();
    disk.image("images/test/cat/new.png");
    let store = SquareStore { memory: 1 << 20, ..cached(&disk, 1 << 20) };
    let kept = loaded(&disk, &store);
    assert_eq!(are_cached(&kept), [true, false]);
    assert_eq!(kept, loaded(&disk, &SquareStore::default()));
}

#[test]
fn a_damaged_cache_is_made_again() {
    let disk = photographs();
    let store = cached(&disk, 1 << 20);
    loaded(&disk, &store);
    for path in caches(&disk) {
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let again = loaded(&disk, &store);
    assert_eq!((are_cached(&again), again), ([true; 2], loaded(&disk, &SquareStore::default())));
}

#[test]
fn without_room_in_the_cache_there_is_memory_and_without_either_an_error() {
    let disk = photographs();
    let store = |memory: u64| SquareStore { memory, ..cached(&disk, 100) };
    let kept = loaded(&disk, &store(12 * SQUARE));
    assert_eq!((are_cached(&kept), caches(&disk).len()), ([false; 2], 0));
    let error = load(&listing(&disk), &Preprocess::clip(4), &store(11), &|_, _| {}).unwrap_err().to_string();
    for part in ["12 images of 4 x 4", "576 bytes", "11 are allowed in memory", "100 in a cache"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_said_and_done_without() {
    let disk = photographs();
    disk.write("cache", b"a file");
    let plain = loaded(&disk, &SquareStore::default());
    let kept = loaded(&disk, &SquareStore { memory: 1 << 20, ..cached(&disk, 1 << 20) });
    assert_eq!((kept.notices.len(), &kept.task), (2, &plain.task));
    assert!(kept.notices[0].contains("images of train are not cached: cannot"), "{:?}", kept.notices);
}
