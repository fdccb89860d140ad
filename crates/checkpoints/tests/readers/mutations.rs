//! Valid files changed at random: a reader may refuse them or read something else, and nothing worse.
//!
//! Inputs that once did worse lie in `tests/regressions/<target>/`.

use crate::builders::{archive, fixture, fixture_bytes, legacy, open};
use regulus_checkpoints::Checkpoint;
use regulus_mutation::{Limits, Target};
use std::path::{Path, PathBuf};

/// Instructions and names of pickles that torch writes.
const PICKLE_WORDS: [&[u8]; 40] = [
    b"(",
    b")",
    b".",
    b"0",
    b"1",
    b"2",
    b"N",
    b"Q",
    b"R",
    b"]",
    b"}",
    b"a",
    b"b",
    b"d",
    b"e",
    b"l",
    b"o",
    b"s",
    b"t",
    b"u",
    b"\x81",
    b"\x85",
    b"\x86",
    b"\x87",
    b"\x8f",
    b"\x90",
    b"\x91",
    b"\x92",
    b"\x93",
    b"\x94",
    b"h\0",
    b"q\0",
    b"K\x01",
    b"M\xff\xff",
    b"J\xff\xff\xff\xff",
    b"\x8a\x01\xff",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch\nByteStorage\n",
];
/// What numbers of pickles follow: integers, texts, references to the memo.
const PICKLE_LANDMARKS: [&[u8]; 9] = [b"K", b"M", b"J", b"\x8a", b"X", b"\x8c", b"h", b"q", b"storage"];
/// Records of zip archives, whose fields are numbers.
const ZIP_LANDMARKS: [&[u8]; 7] =
    [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"storage", b"X"];
const JSON_WORDS: [&[u8]; 16] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"null",
    b"-1",
    b"1e99",
    b"18446744073709551615",
    b"\"dtype\"",
    b"\"F32\"",
    b"\"BOOL\"",
    b"\"shape\"",
    b"\"data_offsets\"",
];
const JSON_LANDMARKS: [&[u8]; 3] = [b"[", b"shape", b"offsets"];

/// A target with the bounds that the README of this crate states.
pub fn target(name: &str, seeds: Vec<Vec<u8>>) -> Target {
    Target { limits: Limits { per_byte: 160, ..Limits::default() }, ..Target::new(name, seeds) }
}

/// Opens a file and reads everything in it.
pub fn read(bytes: &[u8]) {
    if let Ok(checkpoint) = open(bytes) {
        read_all(&checkpoint);
    }
}

fn read_all(checkpoint: &Checkpoint) {
    for (name, tensor) in checkpoint.tensors() {
        assert_eq!(checkpoint.tensor(name).map(|tensor| tensor.dtype()), Some(tensor.dtype()));
        assert_eq!(tensor.numel(), tensor.to_f64().len());
        assert_eq!(tensor.to_f32().is_some(), tensor.dtype().is_float());
        assert_eq!(tensor.to_i64().is_some(), !tensor.dtype().is_float());
    }
}

fn fixtures(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| fixture_bytes(name)).collect()
}

/// Replays what failed once, then tries what has not been tried.
fn check(target: &Target, reader: impl Fn(&[u8])) {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "regressions", &target.name].iter().collect();
    target.replay(&folder, &reader);
    target.check(reader);
}

#[test]
fn safetensors_files() {
    let seeds = fixtures(&["single.safetensors", "model-00001-of-00002.safetensors"]);
    check(&target("safetensors", seeds), read);
}

/// The header alone, so that its length stays right.
#[test]
fn safetensors_headers() {
    let file = fixture_bytes("single.safetensors");
    let (length, rest) = file.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let (words, landmarks) = (JSON_WORDS.to_vec(), JSON_LANDMARKS.to_vec());
    let target = Target { words, landmarks, ..target("safetensors-header", vec![header.to_vec()]) };
    check(&target, |header| read(&[&(header.len() as u64).to_le_bytes()[..], header, data].concat()));
}

#[test]
fn indexes() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
    ] {
        std::fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    let index = folder.path().join("index.json");
    let seeds = fixtures(&["model.safetensors.index.json", "pytorch_model.bin.index.json"]);
    let (words, landmarks) = (JSON_WORDS.to_vec(), JSON_LANDMARKS.to_vec());
    check(&Target { words, landmarks, ..target("index", seeds) }, |json| {
        std::fs::write(&index, json).unwrap();
        if let Ok(checkpoint) = Checkpoint::open(&index) {
            read_all(&checkpoint);
        }
    });
}

fn zip_target(name: &str, seeds: &[&str]) -> Target {
    let (words, landmarks) = (PICKLE_WORDS.to_vec(), ZIP_LANDMARKS.to_vec());
    Target { words, landmarks, ..target(name, fixtures(seeds)) }
}

#[test]
fn archives_of_torch_save() {
    let seeds = ["dtypes.pt", "views.pt", "moco.pth.tar", "nested.pt", "whole_module.pt"];
    check(&zip_target("archive", &seeds), read);
}

#[test]
fn archives_of_torchscript() {
    check(&zip_target("torchscript", &["script.pt"]), read);
}

#[test]
fn old_files_of_torch_save() {
    let (words, landmarks) = (PICKLE_WORDS.to_vec(), PICKLE_LANDMARKS.to_vec());
    let seeds = fixtures(&["moco_legacy.pth.tar", "views_legacy.pt"]);
    check(&Target { words, landmarks, ..target("legacy", seeds) }, read);
}

/// The pickle alone, in an archive and an old file that are always right.
#[test]
fn pickles() {
    let storage = [0; 512];
    let seeds =
        ["dtypes.pt", "views.pt", "moco.pth.tar", "nested.pt", "whole_module.pt", "script.pt"].map(pickle_of);
    let (words, landmarks) = (PICKLE_WORDS.to_vec(), PICKLE_LANDMARKS.to_vec());
    check(&Target { words, landmarks, ..target("pickle", seeds.to_vec()) }, |pickle| {
        read(&archive(pickle, &storage));
        read(&legacy(pickle, &[("0", 64, &storage)]));
    });
}

/// The pickle in an archive of the fixtures: from the protocol after its name to the next record.
fn pickle_of(fixture: &str) -> Vec<u8> {
    let file = fixture_bytes(fixture);
    let find = |start: usize, wanted: &[u8]| {
        start + file[start..].windows(wanted.len()).position(|window| window == wanted).unwrap()
    };
    let name = find(0, b"data.pkl");
    let start = find(name, b"\x80");
    file[start..find(start, b"PK")].to_vec()
}

/// Where regressions are kept: nothing else may lie there, or it would never be replayed.
#[test]
fn every_regression_belongs_to_a_target() {
    let targets =
        ["safetensors", "safetensors-header", "index", "archive", "torchscript", "legacy", "pickle"];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(name == "README.md" || (entry.path().is_dir() && targets.contains(&name.as_str())), "{name}");
    }
}
