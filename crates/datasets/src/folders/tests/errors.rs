//! Every refusal, with the words that a user needs in its message.

use super::super::Layout;
use super::*;

/// Asserts that the message of `error` holds every one of `words`.
#[track_caller]
fn says(error: &FolderError, words: &[&str]) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is missing from: {message}");
    }
}

#[test]
fn missing_path() {
    let folder = Folder::new();
    let error = scan(&FolderRequest::new(folder.root().join("nowhere"))).unwrap_err();
    assert!(matches!(error, FolderError::Missing { .. }));
    says(&error, &["no such folder", "nowhere"]);
}

#[test]
fn a_file_in_place_of_the_folder() {
    let folder = Folder::new();
    folder.image("a.png");
    let error = scan(&FolderRequest::new(folder.path("a.png"))).unwrap_err();
    assert!(matches!(error, FolderError::NotAFolder { .. }));
    says(&error, &["a.png", "train/<class>/*"]);
}

#[cfg(unix)]
#[test]
fn unreadable_folder() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with_classes(&["cat", "dog"], 2);
    let locked = folder.path("train/dog");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).unwrap();
    // Permissions do not bind the superuser: the folder is then readable and nothing is refused.
    let bound = std::fs::read_dir(&locked).is_err();
    let outcome = scan(&folder.request());
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(outcome.is_err(), bound);
    if let Err(error) = outcome {
        assert!(matches!(error, FolderError::Unreadable { .. }));
        says(&error, &["cannot list", "dog"]);
    }
}

#[test]
fn empty_folders() {
    let folder = Folder::new();
    folder.write("notes.txt", b"x");
    assert!(matches!(folder.refused(), FolderError::Empty { ignored: 1, .. }));
    folder.folder("train");
    let error = folder.refused();
    assert!(matches!(error, FolderError::Empty { .. }));
    says(&error, &["train is empty", "class folders or images"]);
    let with_test = Folder::with_classes(&["cat"], 2);
    std::fs::remove_dir_all(with_test.path("test")).unwrap();
    with_test.folder("test");
    says(&with_test.refused(), &["test is empty"]);
}

#[test]
fn unknown_layouts_say_what_was_found() {
    let without_train = Folder::new();
    without_train.image("cat/0.png");
    without_train.image("dog/0.png");
    let error = without_train.refused();
    assert!(matches!(error, FolderError::UnknownLayout { .. }));
    let layouts = ["train/<class>/*", "train/<class>_<number>.<ext>", "<domain>/<class>/*"];
    says(&error, &layouts);
    says(&error, &["found cat/ (folders: 0, images: 1), dog/ (folders: 0, images: 1)"]);

    let only_test = Folder::new();
    only_test.image("test/cat/0.png");
    says(&only_test.refused(), &["none of the known layouts", "test/ (folders: 1, images: 0)"]);

    let loose = Folder::new();
    loose.image("0.png");
    says(&loose.refused(), &["found image files: 1"]);
    let forced = FolderRequest { layout: Some(Layout::FlatFiles), ..loose.request() };
    assert!(matches!(scan(&forced), Err(FolderError::UnknownLayout { .. })));
}

#[test]
fn ambiguous_layouts() {
    let mixed = Folder::with_classes(&["cat"], 2);
    mixed.image("train/cat_1.png");
    says(
        &mixed.refused(),
        &["is ambiguous", "images lie beside class folders", "train/ (folders: 1, images: 1)"],
    );

    let different = Folder::with_classes(&["cat"], 2);
    std::fs::remove_dir_all(different.path("test")).unwrap();
    different.image("test/cat_1.png");
    says(&different.refused(), &["laid out differently"]);

    let half = Folder::with_domains(&["photo"], &["cat"], 1);
    half.image("dog/0.png");
    says(&half.refused(), &["some folders hold images and some hold class folders"]);
}

#[test]
fn domains_must_be_given_and_known_and_given_once() {
    let folder = Folder::with_domains(&["photo", "sketch", "cartoon"], &["cat"], 2);
    says(&folder.refused(), &["cartoon, photo, sketch", "--train-domains", "--test-domains"]);
    let refused = |train: &[&str], test: &[&str]| scan(&folder.domains(train, test)).unwrap_err();
    assert!(matches!(refused(&[], &["photo"]), FolderError::DomainsNotGiven { .. }));
    says(
        &refused(&["photo"], &["Skech"]),
        &["no domain `Skech`", "did you mean `sketch`?", "cartoon, photo, sketch"],
    );
    assert!(matches!(refused(&["../photo"], &[]), FolderError::UnknownDomain { .. }));
    says(&refused(&["photo", "sketch"], &["sketch"]), &["`sketch` is named twice"]);
    assert!(matches!(refused(&["photo", "photo"], &[]), FolderError::RepeatedDomain { .. }));
}

#[test]
fn domains_for_a_layout_without_them() {
    let folder = Folder::with_classes(&["cat"], 2);
    let error = scan(&folder.domains(&["photo"], &[])).unwrap_err();
    says(&error, &["class-folders", "leave out --train-domains"]);
}

#[test]
fn hold_out_outside_its_range() {
    let folder = Folder::with_classes(&["cat"], 2);
    for hold_out in [-0.1, 1.0, f64::NAN] {
        let error = scan(&FolderRequest { hold_out, ..folder.request() }).unwrap_err();
        says(&error, &["at least 0 and below 1"]);
    }
}

#[test]
fn a_class_without_images() {
    let folder = Folder::with_classes(&["cat", "dog"], 2);
    folder.folder("train/emu");
    folder.write("train/emu/readme.txt", b"later");
    says(&folder.refused(), &["class `emu` has no image", "other files: 1"]);
    let tests = Folder::with_classes(&["cat", "dog"], 2);
    std::fs::remove_dir_all(tests.path("test/dog")).unwrap();
    tests.folder("test/dog");
    says(&tests.refused(), &["class `dog` has no image"]);
}

#[test]
fn duplicate_classes() {
    let folder = Folder::with_classes(&["polar_bear", "polar bear"], 2);
    says(&folder.refused(), &["`polar bear` and `polar_bear`"]);
    let flat = Folder::new();
    ["train/Cat_1.png", "train/cat_2.png"].iter().for_each(|name| flat.image(name));
    says(&flat.refused(), &["duplicate class: `Cat` and `cat`"]);
    let across = Folder::with_classes(&["polar_bear"], 2);
    std::fs::rename(across.path("test/polar_bear"), across.path("test/Polar Bear")).unwrap();
    says(&across.refused(), &["`Polar Bear` and `polar_bear`"]);
}

#[test]
fn a_label_outside_the_classes() {
    let folder = Folder::with_classes(&["elephant", "dog"], 2);
    folder.image("test/elefant/0.png");
    let error = folder.refused();
    assert!(matches!(error, FolderError::LabelOutsideClasses { .. }));
    says(&error, &["`elefant`", "dog, elephant", "did you mean `elephant`?"]);
}

#[test]
fn file_and_folder_names_without_a_class() {
    let flat = Folder::new();
    ["train/cat_1.png", "train/cat.png"].iter().for_each(|name| flat.image(name));
    says(&flat.refused(), &["cat.png", "<class>_<number>.<ext>"]);
    let folder = Folder::with_classes(&["cat", "_"], 2);
    says(&folder.refused(), &["cannot read a class name"]);
}

#[test]
fn over_the_memory_budget() {
    let folder = Folder::with_classes(&["cat"], 5);
    let listing = folder.scan();
    let needed = 10 * 8 * 8 * 3;
    let nothing_decoded = |_, _| panic!("decoded an image");
    let with = |memory: u64, side: usize, progress: &(dyn Fn(usize, usize) + Sync)| {
        load(&listing, &Preprocess::clip(side), &SquareStore::in_memory(memory), progress)
    };
    let error = with(needed - 1, 8, &nothing_decoded).unwrap_err();
    says(&error, &["10 images of 8 x 8", "1920 bytes", "1919 are allowed", "0 in a cache"]);
    assert!(with(needed, 8, &|_, _| {}).is_ok());
    assert!(with(u64::MAX, usize::MAX, &nothing_decoded).is_err());
}

#[test]
fn preprocessing_that_makes_no_sense() {
    let folder = Folder::with_classes(&["cat"], 2);
    let preprocess = Preprocess { crop: 0, ..Preprocess::clip(8) };
    let error = load(&folder.scan(), &preprocess, &SquareStore::in_memory(1 << 20), &|_, _| {}).unwrap_err();
    says(&error, &["`crop` is 0 pixels"]);
}

#[test]
fn nothing_left_after_skipping() {
    let folder = Folder::with_classes(&["cat", "dog"], 3);
    (0..3).for_each(|i| folder.write(format!("train/dog/{i}.png"), b"not a PNG"));
    let error = load_all(&folder.scan()).unwrap_err();
    assert!(matches!(error, FolderError::ClassUndecodable { files: 2, .. }));
    says(&error, &["class `dog`", "train/dog/"]);

    let tests = Folder::with_classes(&["cat"], 3);
    (0..3).for_each(|i| tests.write(format!("test/cat/{i}.png"), b"not a PNG"));
    says(&load_all(&tests.scan()).unwrap_err(), &["split `test`", "all 3", "test/cat/0.png"]);
}
