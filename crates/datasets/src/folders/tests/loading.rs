//! Decoding: what is used, what is skipped, and that threads do not matter.

use std::sync::Mutex;

use proptest::prelude::*;
use regulus_images::{Oddity, decode};

use crate::Source;

use super::*;

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn images_are_preprocessed_and_keep_their_labels() {
    let folder = Folder::with_classes(&["cat", "polar_bear"], 3);
    let (task, report) = folder.load();
    assert_eq!(task.name, folder.root().file_name().unwrap().to_str().unwrap());
    assert_eq!(task.class_names, ["cat", "polar bear"]);
    assert_eq!(report.images[2].per_class, [3, 3]);
    let test = task.test("test").unwrap();
    assert_eq!(test.images.labels, [0, 0, 0, 1, 1, 1]);
    for (index, file) in folder.scan().tests[1].files.iter().enumerate() {
        let image = decode(&std::fs::read(&file.path).unwrap()).unwrap().image;
        assert_eq!(test.images.image(index), Preprocess::clip(8).square(&image).pixels, "{file:?}");
    }
}

#[test]
fn broken_files_are_skipped_and_named() {
    let folder = Folder::with_classes(&["cat", "dog"], 12);
    let whole = std::fs::read(folder.path("train/cat/0.png")).unwrap();
    folder.write("test/cat/0.png", &whole[..whole.len() / 2]);
    folder.write("test/cat/5.png", b"");
    folder.write("test/dog/11.jpg", b"an error page");
    folder.write("test/dog/3.heic", b"\0\0\0\x18ftypheic");
    let (task, report) = folder.load();
    let skipped: Vec<&str> = report.skipped.iter().map(|skipped| skipped.path.as_str()).collect();
    assert_eq!(skipped, ["test/cat/0.png", "test/cat/5.png", "test/dog/11.jpg", "test/dog/3.heic"]);
    assert!(report.skipped.iter().all(|skipped| !skipped.reason.is_empty()));
    let test = task.test("test").unwrap();
    assert_eq!((test.images.len(), &report.images[2].per_class), (22, &vec![10, 12]));
    let first = decode(&std::fs::read(folder.path("test/cat/1.png")).unwrap()).unwrap().image;
    assert_eq!(test.images.image(0), Preprocess::clip(8).square(&first).pixels);
}

#[test]
fn every_training_image_has_its_original() {
    let folder = Folder::with_classes(&["cat", "dog"], 12);
    folder.write("train/cat/3.png", b"broken");
    let LoadedFolder { task, originals, .. } = load_all(&folder.scan()).unwrap();
    assert_eq!(originals.0.len(), task.train.len());
    for index in 0..task.train.len() {
        let original = originals.original(index).unwrap();
        assert_eq!((original.width, original.height), (9, 7));
        assert_eq!(task.train.image(index), Preprocess::clip(8).square(&original).pixels);
    }
    std::fs::remove_file(&originals.0[1]).unwrap();
    let error = originals.original(1).unwrap_err();
    assert_eq!(error.path, originals.0[1]);
}

#[test]
fn odd_images_are_used_and_counted() {
    let folder = Folder::with_classes(&["cat"], 3);
    (0..2).for_each(|i| folder.write(format!("test/cat/{i}.gif"), ANIMATED_GIF));
    let (task, report) = folder.load();
    assert_eq!(task.test("test").unwrap().images.len(), 5);
    assert_eq!(report.oddities, [(Oddity::Animated, 2)].into());
    assert!(report.to_string().contains("odd but used: 2 (animated, first frame taken)"), "{report}");
}

/// One black pixel, twice.
const ANIMATED_GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\
    \x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";

#[test]
fn threads_change_nothing_and_progress_counts_every_file() {
    let folder = Folder::with_classes(&["cat", "dog"], 12);
    folder.write("test/cat/4.png", b"broken");
    let listing = folder.scan();
    let one = pool(1).install(|| load_all(&listing)).unwrap();
    let seen = Mutex::new(Vec::new());
    let progress = |done, total| seen.lock().unwrap().push((done, total));
    let many =
        pool(7).install(|| load(&listing, &Preprocess::clip(8), &SquareStore::default(), &progress)).unwrap();
    assert_eq!(one, many);
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (1..=48).map(|done| (done, 48)).collect::<Vec<_>>());
}

#[test]
fn the_report_is_short_and_serialises() {
    let folder = Folder::with_classes(&["cat", "dog"], 20);
    (1..15).for_each(|i| folder.write(format!("test/cat/{i}.png"), b"broken"));
    folder.write("notes.txt", b"x");
    let (_, report) = folder.load();
    let shown = report.to_string();
    assert!(shown.starts_with("class-folders layout, 2 classes; images: train 36, id 4, test 26"), "{shown}");
    assert!(shown.contains("undecodable: 14") && shown.contains("and 4 more"), "{shown}");
    assert_eq!(shown.lines().count(), 14, "{shown}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["layout"], "class-folders");
    assert_eq!(json["skipped"].as_array().map(Vec::len), Some(14));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is done to a file, the others are read and it is either used or named.
    #[test]
    fn mutated_files_never_stop_the_others(at in 0usize..200, byte: u8, cut in 0usize..200) {
        let folder = Folder::with_classes(&["cat"], 3);
        let mut bytes = std::fs::read(folder.path("test/cat/1.png")).unwrap();
        let place = at % bytes.len();
        bytes[place] = byte;
        bytes.truncate(bytes.len().saturating_sub(cut));
        folder.write("test/cat/1.png", &bytes);
        let (task, report) = folder.load();
        prop_assert_eq!(task.test("test").unwrap().images.len() + report.skipped.len(), 3);
    }
}
