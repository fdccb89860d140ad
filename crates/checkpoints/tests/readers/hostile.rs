//! Files made to cost far more than their size: every one is opened and read within the bounds on memory and time.

use crate::builders::{TensorPickle, ZipEntry, archive, legacy, open, refusal, text, zip};
use crate::mutations::{read, target};
use regulus_mutation::{Limits, Target};
use std::time::Duration;

const STORAGE: [u8; 24] = [0; 24];

/// Reads the files under the bounds.
fn survive(name: &str, files: &[Vec<u8>]) {
    // These files are a hundred times as large as the fixtures.
    let deadline = Duration::from_secs(10);
    let target = target(name, Vec::new());
    let target = Target { limits: Limits { deadline, ..target.limits }, ..target };
    let report = target.run_all(files, &read);
    assert_eq!(report.inputs, files.len());
}

/// A pickle that repeats some instructions.
fn repeated(start: &[u8], piece: &[u8], count: usize, end: &[u8]) -> Vec<u8> {
    [b"\x80\x04", start, &piece.repeat(count), end].concat()
}

fn archived(pickles: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    pickles.into_iter().map(|pickle| archive(&pickle, &STORAGE)).collect()
}

#[test]
fn deep_nests() {
    let depth = 100_000;
    let tensor = TensorPickle::default().instructions();
    let key = text("k");
    let dicts = [&b"}"[..], &key].concat();
    let files = archived([
        repeated(b"", b"]", depth, &[&b"a".repeat(depth - 1)[..], b"."].concat()),
        repeated(b"", b"]", depth, &[&tensor, &b"a".repeat(depth)[..], b"."].concat()),
        repeated(b"", &dicts, depth, &[&tensor, &b"s".repeat(depth)[..], b"."].concat()),
        repeated(b"]", b"\x85", depth, b"."),
        repeated(b"]", b"(\x85", depth, b"."),
        // Objects whose state is the object before.
        repeated(b"]\x94", b"ca\nb\n)R2\x94}X\x01\0\0\0xh\0sb", depth, b"."),
    ]);
    survive("deep", &files);
    // A tensor below lists has a name all the same.
    let pickle = repeated(b"", b"]", 1000, &[&tensor, &b"a".repeat(1000)[..], b"."].concat());
    let checkpoint = open(&archive(&pickle, &STORAGE)).unwrap();
    assert_eq!(checkpoint.tensors().next().unwrap().0, ["0"; 1000].join("."));
}

#[test]
fn cycles_are_entered_once() {
    let tensor = TensorPickle::default().instructions();
    let list = [&b"\x80\x02]q\0("[..], &tensor, b"h\0e."].concat();
    let dict = [&b"\x80\x02}q\0("[..], &text("self"), b"h\0", &text("t"), &tensor, b"u."].concat();
    let object =
        [&b"\x80\x02ca\nB\n)\x81q\0}("[..], &text("me"), b"h\0", &text("t"), &tensor, b"ub."].concat();
    for (pickle, name) in [(list, "0"), (dict, "t"), (object, "t")] {
        let checkpoint = open(&archive(&pickle, &STORAGE)).unwrap();
        assert_eq!(checkpoint.tensors().map(|(name, _)| name).collect::<Vec<_>>(), [name]);
    }
    // An argument that is its own call.
    let transparent = b"\x80\x02]q\0cbuiltins\nlist\n(h\0tRq\x01a.h\x01.".to_vec();
    survive("cycles", &archived([transparent]));
}

#[test]
fn shared_values_that_grow_exponentially() {
    // Each list holds the one before twice.
    let lists = |leaf: &[u8]| repeated(&[leaf, b"\x94"].concat(), b"](h\0h\0e\x94q\0", 60, b".");
    let tensor = TensorPickle::default().instructions();
    assert!(refusal(&archive(&lists(b"]"), &STORAGE)).contains("shared beyond measure"));
    let message = refusal(&archive(&lists(&tensor), &STORAGE));
    assert!(message.contains("more names than a file of this size"), "{message}");
    survive(
        "shared",
        &archived([lists(b"]"), lists(b"K\x01"), lists(&tensor), lists(&text(&"x".repeat(1000)))]),
    );
}

#[test]
fn long_names_for_many_values() {
    let long = text(&"k".repeat(100_000));
    let empty = TensorPickle { shape: &[0], strides: &[1], ..TensorPickle::default() }.instructions();
    let many = |leaf: &[u8]| {
        let list = [b"]", &leaf.repeat(10_000)[..]].concat();
        [&b"\x80\x04}"[..], &long, b"}", &long, &list, b"ss."].concat()
    };
    let appended = [&empty[..], b"a"].concat();
    let message = refusal(&archive(&many(&appended), &STORAGE));
    assert!(message.contains("more names than a file of this size"), "{message}");
    let texts =
        [&b"\x80\x04"[..], &text(&"v".repeat(100_000)), b"q\0]", &b"h\0a".repeat(10_000), b"."].concat();
    // Scalars that are too many are left out.
    assert!(!open(&archive(&many(b"K\x01a"), &STORAGE)).unwrap().scalars().is_empty());
    survive("names", &archived([many(&appended), many(b"K\x01a"), texts]));
}

#[test]
fn long_texts_that_are_looked_at_often() {
    let (length, count) = (500_000, 100_000);
    let long = "x".repeat(length);
    let key = [&b"\x80\x04"[..], &text(&long), b"q\x000}(", &b"h\0N".repeat(count), b"u."].concat();
    let scalar = [&b"\x80\x04"[..], &text(&long), b"q\x000](", &b"h\0".repeat(count), b"e."].concat();
    let name = [b"\x80\x04cm\n", long.as_bytes(), b"\nq\x000](", &b"h\0)R".repeat(count), b"e."].concat();
    let tensor = TensorPickle { key: &long, shape: &[0], strides: &[1], ..TensorPickle::default() };
    let call = b"ctorch._utils\n_rebuild_tensor_v2\n";
    let arguments = &tensor.instructions()[call.len()..];
    let arguments = &arguments[..arguments.len() - 1];
    let storage =
        [&b"\x80\x04"[..], call, b"q\x000", arguments, b"q\x010](", &b"h\0h\x01R".repeat(count), b"e."]
            .concat();
    let mut files = archived([key.clone(), scalar, name, storage.clone()]);
    files.push(legacy(&storage, &[(&long, 6, &STORAGE)]));
    // The description of the machine, which comes third in an old file.
    let before_machine =
        &legacy(b"", &[])[..legacy(b"", &[]).windows(2).position(|two| two == b"}X").unwrap()];
    files.push([before_machine, &key[2..]].concat());
    survive("texts", &files);
}

#[test]
fn instructions_that_take_the_most_memory() {
    let count = 1 << 20;
    let tall = b"N".repeat(count);
    let pieces: [&[u8]; 12] =
        [b"]", b"}", b")", b"(", b"N", b"K\x01", b"\x94", b"ca\nb\n", b"]Na", b"}NNs", b"ca\nb\n)R", b"NQ"];
    let mut pickles: Vec<Vec<u8>> =
        pieces.iter().map(|piece| repeated(b"]", piece, count / piece.len(), b".")).collect();
    // Empty tuples above a tall stack must not each take the capacity of the stack.
    pickles.push(repeated(&[&b"("[..], &tall, b"t"].concat(), b"(t0", 100_000, b"."));
    pickles.push(repeated(&tall, b"(t0", 100_000, b"."));
    // A long list as the argument of many calls must not be copied each time.
    let long_list = [&b"]("[..], &tall, b"e\x94"].concat();
    pickles.push(repeated(&long_list, b"ccollections\nOrderedDict\nh\0\x85R0", 10_000, b"."));
    survive("instructions", &archived(pickles));
}

#[test]
fn too_many_instructions() {
    let pickle = repeated(b"", b"N", 1 << 22, b".");
    assert!(refusal(&archive(&pickle, &STORAGE)).contains("more than 4194304 instructions"));
}

#[test]
fn huge_lengths_and_numbers() {
    let huge = u64::MAX.to_le_bytes();
    let half = (1u64 << 63).to_le_bytes();
    let mut pickles: Vec<Vec<u8>> = Vec::new();
    for opcode in [0x8d, 0x8e, 0x95] {
        pickles.push([&b"\x80\x04"[..], &[opcode], &huge, b"."].concat());
        pickles.push([&b"\x80\x04"[..], &[opcode], &half, b"."].concat());
    }
    for opcode in [b'X', b'T', b'B', 0x8b, b'j', b'r'] {
        pickles.push([&b"\x80\x04N"[..], &[opcode], &[0xff; 4], b"."].concat());
    }
    pickles.push(b"\x80\x02Nr\xff\xff\xff\xffp99999999999999999999\n.".to_vec());
    pickles.push([b"L", &b"9".repeat(1 << 20)[..], b"L\n."].concat());
    pickles.push([b"\x80\x02\x8b\0\0\x10\0", &[0xff; 1 << 20][..], b"."].concat());
    survive("lengths", &archived(pickles));
    let big = archive(b"\x80\x02}X\x01\0\0\0n\x8a\x09\0\0\0\0\0\0\0\0\x7fs.", &STORAGE);
    assert!(open(&big).unwrap().scalars().is_empty());
}

#[test]
fn expanded_and_overlapping_tensors() {
    let expanded =
        |size| TensorPickle { shape: &[size, 1], strides: &[0, 0], ..TensorPickle::default() }.pickle();
    assert!(open(&archive(&expanded(1000), &STORAGE)).is_ok());
    assert!(refusal(&archive(&expanded(1 << 30), &STORAGE)).contains("times as large as the file"));
    // Each is small, together they are not.
    let one = TensorPickle { shape: &[50_000], strides: &[0], ..TensorPickle::default() }.instructions();
    let many = [b"\x80\x02]", &[&one[..], b"a"].concat().repeat(100)[..], b"."].concat();
    assert!(refusal(&archive(&many, &STORAGE)).contains("times as large as the file"));
    let many_dimensions = TensorPickle { shape: &[1; 64], strides: &[1; 64], ..TensorPickle::default() };
    let shared =
        [&b"\x80\x04"[..], &many_dimensions.instructions(), b"\x94]", &b"h\0a".repeat(50_000), b"."].concat();
    survive("tensors", &archived([expanded(1000), expanded(1 << 30), many, shared]));
}

#[test]
fn archives_that_promise_too_much() {
    let pickle = TensorPickle::default().pickle();
    let data = || ZipEntry::stored("a/data.pkl", &pickle);
    let end_records = b"PK\x05\x06".repeat(1 << 18);
    let mut crowded = zip(&[data()]);
    let end = crowded.len() - 22;
    crowded[end + 10..end + 12].fill(0xff);
    let mut zip64 = zip(&[data()]);
    let end_64 = zip64.len() - 22;
    let mut records = b"PK\x06\x06".to_vec();
    records.extend([0; 20]);
    records.extend([0xff; 32]);
    records.extend(b"PK\x06\x07\0\0\0\0");
    records.extend((end_64 as u64).to_le_bytes());
    records.extend([0; 4]);
    zip64.splice(end_64..end_64, records);
    let bomb = zip(&[ZipEntry { method: 8, length: u32::MAX, ..data() }]);
    let signatures = [b"PK\x03\x04".to_vec(), end_records].concat();
    survive("archives", &[signatures, crowded, zip64, bomb]);
}

#[test]
fn old_files_that_promise_too_much() {
    let tensor = TensorPickle { view: b"N", ..TensorPickle::default() }.pickle();
    let files = [i64::MAX, i64::MAX / 4, i64::MAX / 4 + 1, i64::MIN, -1]
        .map(|numel| legacy(&tensor, &[("0", numel, &STORAGE)]));
    survive("old", &files);
}

#[test]
fn json_that_promises_too_much() {
    let nested = |depth: usize| [&b"{\"a\":"[..], &b"[".repeat(depth)].concat();
    let header = |json: &[u8]| [&(json.len() as u64).to_le_bytes()[..], json].concat();
    let mut files = vec![nested(100_000), header(&nested(100_000))];
    for length in [u64::MAX, 1 << 63, 100_000_000, 100_000_001] {
        files.push([&length.to_le_bytes()[..], b"{}"].concat());
    }
    let dimensions = "0,".repeat(300_000);
    let absurd = format!(r#"{{"a":{{"dtype":"U8","shape":[{dimensions}0],"data_offsets":[0,0]}}}}"#);
    files.push(header(absurd.as_bytes()));
    let tensors = (0..20_000).map(|i| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#));
    files.push(header(format!("{{{}}}", tensors.collect::<Vec<_>>().join(",")).as_bytes()));
    survive("json", &files);
}
