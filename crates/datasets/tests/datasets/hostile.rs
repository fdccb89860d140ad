//! Split files, lists and folders as strangers or accidents make them.

use proptest::prelude::*;
use regulus_datasets::published::{self, read_image_folder};

use super::miniature::Disk;

fn split(disk: &Disk, text: &str) -> String {
    disk.write("dtd/split_zhou_DescribableTextures.json", text);
    published::read("dtd", disk.root()).unwrap_err().to_string()
}

#[test]
fn split_files_cannot_lead_out_of_the_data_set() {
    let disk = Disk::with("dtd");
    for (path, fault) in [
        ("../../secret.png", "it leads out"),
        ("/etc/passwd", "it is absolute"),
        ("C:\\\\windows\\\\a.png", "it is absolute"),
        ("a\\u0000b", "it holds a zero byte"),
        ("", "it is empty"),
    ] {
        let text = format!(r#"{{"train": [["ok.png", 0, "a"], ["{path}", 0, "a"]], "val": [], "test": []}}"#);
        let error = split(&disk, &text);
        let expected = "split_zhou_DescribableTextures.json, train[1] names the path";
        assert!(error.contains(expected) && error.contains(fault), "{path}: {error}");
    }
}

#[test]
fn split_files_are_checked() {
    let disk = Disk::with("dtd");
    for (train, expected) in [
        (r#"["a", 0, "x"], ["b", 0, "y"]"#, "train[1] calls label 0 `y`, and an entry before it `x`"),
        (r#"["a", 0, "x"], ["b", 2, "y"]"#, "label 1 of 3 has no image"),
        (r#"["a", 4294967295, "x"]"#, "label 0 of 4294967296 has no image"),
        (r#"["a", -1, "x"]"#, "line 1"),
        (r#"["a", "one", "x"]"#, "train[0]: the label is no whole number"),
        (r#"["a", 0]"#, "invalid length 2"),
        (r#""a""#, "invalid type"),
    ] {
        let error = split(&disk, &format!(r#"{{"train": [{train}], "val": [], "test": []}}"#));
        assert!(error.contains(expected), "{train}: {error}");
    }
    assert!(split(&disk, r#"{"train": [], "test": []}"#).contains("missing field `val`"));
    assert!(split(&disk, r#"{"train": [], "val": [], "test": []}"#).contains("holds no images"));
}

#[test]
fn lists_and_class_names_are_checked() {
    let disk = Disk::with("domainnet");
    let list = "domainnet/splits/sketch_test.txt";
    let good = std::fs::read_to_string(disk.root().join(list)).unwrap();
    for (line, expected) in [
        ("sketch/zebra/1.png", "sketch_test.txt, line 7: expected a path and a label"),
        ("sketch/../../1.png 0", "sketch_test.txt, line 7 names the path `sketch/../../1.png`"),
        ("1.png 0", "line 7: expected a path <domain>/<class>/<file>"),
        ("sketch/zebra/1.png 0", "line 7 calls label 0 `zebra`, and an entry before it `The_Eiffel_Tower`"),
        ("sketch/zebra/1.png 9", "label 2 of 10 has no image"),
    ] {
        disk.write(list, format!("{good}{line}\n"));
        let error = published::read("domainnet", disk.root()).unwrap_err().to_string();
        assert!(error.contains(expected), "{line}: {error}");
    }
    let disk = Disk::with("imagenet_r");
    disk.images("imagenet-rendition/imagenet-r/n99999999", 1);
    let error = published::read("imagenet_r", disk.root()).unwrap_err().to_string();
    assert!(error.contains("the class `n99999999`") && error.contains("classnames.txt"), "{error}");
    let disk = Disk::with("fgvc_aircraft");
    disk.write("fgvc_aircraft/images_variant_val.txt", "0000002 707-320\n../x 707-320\n");
    let error = published::read("fgvc_aircraft", disk.root()).unwrap_err().to_string();
    assert!(error.contains("images_variant_val.txt, line 2 names the path"), "{error}");
    let disk = Disk::with("pacs");
    disk.write("pacs/splits/photo_train_kfold.txt", "photo/dog/0.png 0\n");
    let error = published::read("pacs", disk.root()).unwrap_err().to_string();
    assert!(error.contains("labels count from 1"), "{error}");
}

#[cfg(unix)]
#[test]
fn loops_of_links_end_and_links_to_data_are_followed() {
    use std::os::unix::fs::symlink;
    let disk = Disk::new();
    disk.images("flowers/rose", 2);
    disk.images("elsewhere/tulip", 3);
    let root = disk.root();
    symlink(root.join("elsewhere/tulip"), root.join("flowers/tulip")).unwrap();
    symlink(root.join("flowers/rose"), root.join("flowers/rose/again")).unwrap();
    symlink(root.join("flowers"), root.join("flowers/rose/up")).unwrap();
    symlink(root.join("flowers/self"), root.join("flowers/self")).unwrap();
    symlink(root.join("gone"), root.join("flowers/rose/broken.png")).unwrap();
    let listing = read_image_folder(&root.join("flowers")).unwrap();
    assert_eq!(listing.classes.names, ["rose", "tulip"]);
    let per_class = listing.split("all").unwrap().per_class(2);
    // Through the link `up` each real folder is found once more at most.
    assert_eq!(per_class, [5, 3]);
    assert!(
        listing.left_out.iter().any(|line| line.starts_with("self: cannot be followed")),
        "{:?}",
        listing.left_out
    );
    assert!(listing.left_out.iter().any(|line| line.starts_with("rose/again:")), "{:?}", listing.left_out);

    // ImageNet linked into place.
    let disk = Disk::with("imagenet");
    let root = disk.root();
    std::fs::rename(root.join("imagenet/images/train"), root.join("somewhere")).unwrap();
    symlink(root.join("somewhere"), root.join("imagenet/images/train")).unwrap();
    assert_eq!(published::read("imagenet", root).unwrap().split("train").unwrap().len(), 15);
}

#[cfg(target_os = "linux")]
#[test]
fn names_need_not_be_utf8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let disk = Disk::new();
    let name = OsStr::from_bytes(b"caf\xe9.png");
    disk.image(std::path::Path::new("root/cat").join(name));
    disk.image("root/cat/plain.png");
    let listing = read_image_folder(&disk.root().join("root")).unwrap();
    let images = listing.split("all").unwrap();
    assert_eq!(images.get(0).unwrap().shown(), "cat/caf%E9.png");
    listing.require_files().unwrap();
    let mut manifest = b"path,label\nroot/cat/caf\xe9.png,cat\n".to_vec();
    disk.write("list.csv", &manifest);
    let listing = regulus_datasets::manifest::read(&disk.root().join("list.csv")).unwrap();
    listing.require_files().unwrap();
    manifest.extend(b"root/gone\xff.png,cat\n");
    disk.write("list.csv", &manifest);
    let listing = regulus_datasets::manifest::read(&disk.root().join("list.csv")).unwrap();
    let error = listing.require_files().unwrap_err().to_string();
    assert!(
        error.contains("root/gone%FF.png of split train") && error.contains("list.csv, line 3"),
        "{error}"
    );
}

#[test]
fn any_bytes_in_any_file_are_a_listing_or_an_error() {
    let cases = [
        ("dtd", "dtd/split_zhou_DescribableTextures.json"),
        ("imagenet_a", "imagenet-adversarial/classnames.txt"),
        ("fgvc_aircraft", "fgvc_aircraft/images_variant_test.txt"),
        ("pacs", "pacs/splits/cartoon_crossval_kfold.txt"),
        ("cifar100", "cifar100/cifar-100-binary/test.bin"),
    ];
    let cases = cases.map(|(name, file)| {
        let disk = Disk::with(name);
        let content = std::fs::read(disk.root().join(file)).unwrap();
        (name, file, disk, content)
    });
    proptest!(ProptestConfig::with_cases(32), |(
        bytes in prop::collection::vec(any::<u8>(), 0..120), at in 0.0f64..1.0,
    )| {
        for (name, file, disk, content) in &cases {
            let mut spliced = content.clone();
            let place = (at * spliced.len() as f64) as usize;
            spliced.splice(place..place, bytes.iter().copied());
            for content in [&spliced, &bytes] {
                disk.write(file, content);
                let _ = published::check(name, disk.root()).unwrap().to_string();
            }
        }
    });
}
