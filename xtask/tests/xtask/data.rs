//! The world as pictures.

use crate::support::{text, xtask};

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
    export("train").with_code(2).naming(&["train"]);
    export("tset").with_code(2).naming(&["tset", "train", "test"]);

    let runs = folder.path().join("runs");
    let train = ["train", "--data", text(&out), "--runs", text(&runs), "--method", "zero-shot"];
    let ended = xtask(&train).with_code(0);
    assert!(ended.stdout.contains("20 classes"), "{}", ended.stdout);
}
