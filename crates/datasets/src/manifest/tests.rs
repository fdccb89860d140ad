use std::path::Path;

use proptest::prelude::*;

use super::{ManifestFormat, read_from};
use crate::listing::{DatasetListing, ListingError};

fn csv(text: &[u8]) -> Result<DatasetListing, ListingError> {
    read_from(text, ManifestFormat::Csv, Path::new("data/list.csv"))
}

fn json(text: &[u8]) -> Result<DatasetListing, ListingError> {
    read_from(text, ManifestFormat::JsonLines, Path::new("data/list.jsonl"))
}

fn rows(listing: &DatasetListing, split: &str) -> Vec<(String, String)> {
    let images = listing.split(split).unwrap();
    images.iter().map(|image| (image.shown(), listing.classes.names[image.label].clone())).collect()
}

fn row(path: &str, class: &str) -> (String, String) {
    (path.to_owned(), class.to_owned())
}

#[test]
fn csv_with_all_columns() {
    let text = "\u{feff}label, domain ,id,path,split\r\ndog,photo,1,\"a, b\"\"c.jpg\",test\r\n\r\n\
                cat,sketch,2,./x.png,train\r\ndog,photo,3,\"two\nlines.jpg\",test";
    let listing = csv(text.as_bytes()).unwrap();
    assert_eq!(listing.classes.names, ["cat", "dog"]);
    assert_eq!(listing.domains, ["photo", "sketch"]);
    assert_eq!(listing.root, Path::new("data"));
    let names: Vec<&str> = listing.splits.iter().map(|split| split.name.as_str()).collect();
    assert_eq!(names, ["train", "test"]);
    assert_eq!(rows(&listing, "train"), [row("x.png", "cat")]);
    assert_eq!(rows(&listing, "test"), [row("a, b\"c.jpg", "dog"), row("two%0Alines.jpg", "dog")]);
    let last = listing.split("test").unwrap().get(1).unwrap();
    assert_eq!((last.entry().unwrap().as_str(), last.domain), ("data/list.csv, line 5", Some(0)));
}

#[test]
fn labels_that_are_numbers_are_in_their_order() {
    let listing = csv(b"path,label\na,10\nb,9\nc,10\n").unwrap();
    assert_eq!(listing.classes.names, ["9", "10"]);
    assert_eq!(rows(&listing, "train"), [row("a", "10"), row("b", "9"), row("c", "10")]);
    let listing =
        json(b"{\"path\": \"a\", \"label\": 3}\n\n{\"label\": \"1\", \"path\": \"b\", \"x\": [1]}\n")
            .unwrap();
    assert_eq!(listing.classes.names, ["1", "3"]);
}

#[cfg(unix)]
#[test]
fn paths_need_not_be_utf8() {
    let listing = csv(b"path,label\ncaf\xe9/1.jpg,cat\n").unwrap();
    let path = listing.split("train").unwrap().get(0).unwrap().path().into_owned();
    assert_eq!(path.as_os_str().as_encoded_bytes(), b"caf\xe9/1.jpg");
}

#[test]
fn faults_name_the_line() {
    let long = format!("path,label\n{},x\n", "a".repeat(70_000));
    for (text, expected) in [
        ("", "holds no header"),
        ("path,label\n", "holds no row"),
        ("file,label\na,b\n", "no column `path`"),
        ("pth,label\na,b\n", "is it `pth`?"),
        ("path,label,path\na,b,c\n", "line 1: the column `path` is there twice"),
        ("path,label\na\n", "line 2: 1 fields, but the header has 2"),
        ("path,label\na,\n", "line 2: the label is empty"),
        ("path,label\n\"a,b\n", "line 2: a quote is opened"),
        ("path,label\n\"a\"b,c\n", "line 2: text after a closing quote"),
        ("path,label\nok,b\n../a,b\n", "line 3 names the path `../a`, which is refused: it leads out"),
        ("path,label\n/etc/x,b\n", "it is absolute"),
        (long.as_str(), "line 2: the row is longer"),
    ] {
        let error = csv(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("list.csv"), "{expected}: {error}");
    }
    for (text, expected) in [
        ("[1]\n", "line 1: invalid type"),
        ("\n{\"path\": \"a\"}", "line 2: missing field `label`"),
        ("{\"path\": \"../a\", \"label\": 1}", "line 1 names the path `../a`"),
    ] {
        let error = json(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert!(csv(b"path,label\na,\xff\n").unwrap_err().to_string().contains("the label `%FF` is not UTF-8"));
}

proptest! {
    #[test]
    fn any_bytes_are_a_listing_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut manifest = b"path,label,split\n".to_vec();
        manifest.extend(&bytes);
        for text in [&manifest, &bytes] {
            for listing in [csv(text), json(text)].into_iter().flatten() {
                prop_assert!(!listing.is_empty());
                prop_assert!(listing.splits.iter().flat_map(|split| split.images.iter())
                    .all(|image| image.label < listing.classes.len()));
            }
        }
    }

    #[test]
    fn what_is_quoted_comes_back(fields in prop::collection::vec("[a-z\",\r\n ]{1,8}", 1..6)) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let lines: Vec<String> = fields.iter().map(|field| format!("{},c", quoted(field))).collect();
        let listing = csv(format!("path,label\n{}\n", lines.join("\n")).as_bytes()).unwrap();
        let paths: Vec<Vec<u8>> =
            listing.split("train").unwrap().iter().map(|image| image.path_bytes().to_vec()).collect();
        let expected: Vec<Vec<u8>> = fields.iter().map(|field| field.clone().into_bytes()).collect();
        prop_assert_eq!(paths, expected);
    }
}
