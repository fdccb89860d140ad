//! Valid files with seeded changes: no reader panics, hangs, or takes more memory than its limit.

use std::path::Path;

use regulus_datasets::manifest::{ManifestFormat, read_from};
use regulus_datasets::protocol::SampledList;
use regulus_datasets::published;
use regulus_mutation::{Limits, Target};

use super::miniature::Disk;

fn target(name: &str, seed: Vec<u8>, words: &[&'static [u8]]) -> Target {
    // An entry of a few bytes becomes a row of a table that grows by doubling.
    let limits = Limits { per_byte: 256, ..Limits::default() };
    Target { words: words.to_vec(), limits, ..Target::new(name, vec![seed]) }
}

#[test]
fn manifests() {
    let csv = b"path,label,split,domain\na/1.jpg,cat,train,photo\n\"b,\"\"2.jpg\",dog,test,sketch\n".to_vec();
    let words: &[&[u8]] = &[b"\"", b",", b"\n", b"\r\n", b"../", b"path", b"\xef\xbb\xbf"];
    target("csv", csv, words).check(|bytes| {
        let _ = read_from(bytes, ManifestFormat::Csv, Path::new("list.csv"));
    });
    let json =
        b"{\"path\": \"a/1.jpg\", \"label\": 3}\n{\"path\": \"b\", \"label\": \"x\", \"split\": \"test\"}\n"
            .to_vec();
    let words: &[&[u8]] = &[b"{", b"[", b"\"", b":", b"null", b"-1", b"1e999", b"\\u0000"];
    target("json-lines", json, words).check(|bytes| {
        let _ = read_from(bytes, ManifestFormat::JsonLines, Path::new("list.jsonl"));
    });
}

#[test]
fn sampled_lists() {
    let text = b"regulus sampled list 1\ndataset\ta\nprotocol\tfull\nseed\t1\nclasses\t0a\ntrain\t0\ta%FF.png\t9\nval\t1\tb\n";
    target("sampled-list", text.to_vec(), &[b"\t", b"\n", b"%", b"train"]).check(|bytes| {
        let _ = SampledList::parse(&String::from_utf8_lossy(bytes));
    });
}

#[test]
fn split_files() {
    let disk = Disk::with("dtd");
    let file = "dtd/split_zhou_DescribableTextures.json";
    let seed =
        br#"{"train": [["a.png", 0, "x"], ["b.png", 1, "y"]], "val": [], "test": [["c.png", 1, "y"]]}"#;
    target("split-file", seed.to_vec(), &[b"[", b"]", b"{", b"\"train\"", b"4294967295", b"../"]).check(
        |bytes| {
            disk.write(file, bytes);
            let _ = published::read("dtd", disk.root());
        },
    );
}

#[test]
fn python_archives() {
    let disk = Disk::new();
    let seed = super::cifar::hundred_python(1);
    disk.write("cifar-100-python/test", &seed);
    let words: &[&[u8]] =
        &[b"(", b"t", b"u", b"e", b"R", b"b", b"U\x01", b"T\xff\xff\xff\xff", b"\x85", b"h\x01", b"."];
    target("python-archive", seed, words).check(|bytes| {
        disk.write("cifar-100-python/train", bytes);
        let _ = published::read("cifar100", disk.root());
    });
}
