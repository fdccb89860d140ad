//! The world as pictures.

use crate::support::{text, write, xtask};

#[test]
fn the_sheet_is_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet.png");
    xtask(&["data", "sheet", "--out", text(&path)]).with_code(0);
    let decoded = regulus_images::decode_file(&path).unwrap();
    assert!(decoded.image.width > 500 && decoded.image.height > 500);
}

#[test]
fn exported_splits_are_folders_that_train() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("world");
    let export = |split: &str| {
        xtask(&[
            "data",
            "export",
            "--format",
            "imagefolder",
            "--task",
            "few-shot",
            "--shots",
            "2",
            "--split",
            split,
            "--test-images",
            "20",
            "--out",
            text(&out),
        ])
    };
    export("train").with_code(0);
    export("test").with_code(0);
    assert_eq!(std::fs::read_dir(out.join("train/cat")).unwrap().count(), 2);
    export("train").refused().naming(&["train"]);
    export("tset").refused().naming(&["tset", "train", "test"]);

    let runs = folder.path().join("runs");
    let train = ["train", "--data", text(&out), "--runs", text(&runs), "--method", "zero-shot"];
    let ended = xtask(&train).with_code(0);
    assert!(ended.stdout.contains("20 classes"), "{}", ended.stdout);
}

#[test]
fn a_refused_export_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("world");
    write(&out.join("ood/notes.txt"), b"mine");
    let export = ["data", "export", "--test-images", "8", "--out", text(&out)];
    xtask(&export).refused().naming(&["ood", "not empty"]);
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1, "no split but the one that was there");

    let elsewhere = folder.path().join("elsewhere");
    let export = |option, value| xtask(&["data", "export", option, value, "--out", text(&elsewhere)]);
    for (option, value) in
        [("--test-images", "0"), ("--shots", "0"), ("--strength", "1.5"), ("--strength", "nan")]
    {
        export(option, value).refused().naming(&[option]);
    }
    export("--split", "odd").refused().naming(&["odd", "train, id, ood"]);
    assert!(!elsewhere.exists());
}
