//! What is refused, and with which words.

use crate::builders::{
    TensorPickle, ZipEntry, archive, fixture, fixture_bytes, integers, legacy, open, refusal, text, zip,
};
use regulus_checkpoints::{Checkpoint, CheckpointError};

const STORAGE: [u8; 24] = [0; 24];

#[test]
fn the_hand_written_files_are_right_before_they_are_made_wrong() {
    let floats: Vec<u8> = (0..6u8).flat_map(|number| f32::from(number).to_le_bytes()).collect();
    let transposed = TensorPickle { shape: &[3, 2], strides: &[1, 3], ..TensorPickle::default() };
    for file in [
        archive(&transposed.pickle(), &floats),
        legacy(&TensorPickle { view: b"N", ..transposed }.pickle(), &[("0", 6, &floats)]),
    ] {
        let checkpoint = open(&file).unwrap();
        assert_eq!(checkpoint.tensor("t").unwrap().to_f32().unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }
}

#[test]
fn views_of_old_files_start_inside_their_storage() {
    let floats: Vec<u8> = (0..6u8).flat_map(|number| f32::from(number).to_le_bytes()).collect();
    let view = |offset, size| [b"(".to_vec(), text("v"), integers(&[offset, size])[1..].to_vec()].concat();
    let file = |view: &[u8], shape: &[i64]| {
        legacy(
            &TensorPickle { view, shape, strides: &[1], ..TensorPickle::default() }.pickle(),
            &[("0", 6, &floats)],
        )
    };
    let checkpoint = open(&file(&view(2, 3), &[3])).unwrap();
    assert_eq!(checkpoint.tensor("t").unwrap().to_f32().unwrap(), [2.0, 3.0, 4.0]);
    assert!(refusal(&file(&view(2, 3), &[4])).contains("leaves its storage of 3 elements"));
    assert!(refusal(&file(&view(2, 5), &[3])).contains("its view leaves the storage"));
    assert!(refusal(&file(&view(i64::MAX, i64::MAX), &[3])).contains("its view leaves the storage"));
}

#[test]
fn tensors_stay_in_their_storage() {
    let right = TensorPickle::default;
    for (tensor, reason) in [
        (TensorPickle { offset: 1, ..right() }, "leaves its storage of 6 elements"),
        (TensorPickle { strides: &[4, 1], ..right() }, "leaves its storage of 6 elements"),
        (TensorPickle { offset: i64::MAX, ..right() }, "leaves its storage of 6 elements"),
        (TensorPickle { strides: &[i64::MAX, i64::MAX], ..right() }, "leaves its storage of 6 elements"),
        (TensorPickle { numel: 7, ..right() }, "shorter than 7 values"),
        (TensorPickle { numel: i64::MAX, ..right() }, "shorter than"),
        (TensorPickle { class: "DoubleStorage", ..right() }, "shorter than 6 values"),
        (TensorPickle { numel: -1, ..right() }, "its storage is none"),
        (TensorPickle { offset: -1, ..right() }, "a negative offset"),
        (TensorPickle { shape: &[-2, 3], ..right() }, "a shape that is not one"),
        (TensorPickle { strides: &[-3, 1], ..right() }, "strides that are negative"),
        (TensorPickle { strides: &[1], ..right() }, "2 dimensions with 1 strides"),
        (TensorPickle { shape: &[1 << 62, 1 << 62], ..right() }, "too many elements"),
        (TensorPickle { shape: &[1 << 40, 1], strides: &[0, 0], ..right() }, "times as large as the file"),
        (TensorPickle { key: "1", ..right() }, "\"1\" is not in the file"),
        (TensorPickle { class: "ComplexFloatStorage", ..right() }, "ComplexFloatStorage"),
    ] {
        let message = refusal(&archive(&tensor.pickle(), &STORAGE));
        assert!(message.contains(reason) && message.contains("\"t\""), "{reason}: {message}");
    }
}

#[test]
fn old_files_list_their_storages() {
    let tensor = TensorPickle { view: b"N", ..TensorPickle::default() }.pickle();
    for (file, reason) in [
        (legacy(&tensor, &[]), "\"0\" is not in the file"),
        (legacy(&tensor, &[("0", 7, &STORAGE)]), "cut off"),
        (legacy(&tensor, &[("0", -1, &STORAGE)]), "cut off"),
        (legacy(&tensor, &[("0", i64::MAX, &STORAGE)]), "cut off"),
        (legacy(&tensor, &[("0", 5, &STORAGE)]), "shorter than 6 values"),
        (legacy(&tensor, &[("1", 6, &STORAGE)]), "no tensor belongs to the storage \"1\""),
        (legacy(&tensor, &[("0", 6, &STORAGE), ("0", 6, &STORAGE)]), "is there twice"),
    ] {
        let message = refusal(&file);
        assert!(message.contains(reason), "{reason}: {message}");
    }
    let other_machine = legacy(&tensor, &[("0", 6, &STORAGE)]);
    let position = other_machine.windows(2).position(|window| window == b"\x88s").unwrap();
    let mut big_endian = other_machine;
    big_endian[position] = 0x89;
    assert!(refusal(&big_endian).contains("big-endian"));
}

#[test]
fn archives_hold_one_uncompressed_checkpoint() {
    let pickle = TensorPickle::default().pickle();
    let data = || ZipEntry::stored("a/data.pkl", &pickle);
    let storage = || ZipEntry::stored("a/data/0", &STORAGE);
    for (entries, reason) in [
        (vec![ZipEntry { method: 8, ..data() }, storage()], "\"a/data.pkl\" is compressed"),
        (vec![data(), ZipEntry { method: 8, ..storage() }], "\"a/data/0\" is compressed"),
        (vec![data(), ZipEntry { flags: 1, ..storage() }], "\"a/data/0\" is encrypted"),
        (vec![data(), ZipEntry { length: 1 << 20, ..storage() }], "does not lie where the directory says"),
        (vec![data(), storage(), storage()], "two entries are called \"a/data/0\""),
        (vec![data(), ZipEntry::stored("b/data.pkl", &pickle)], "two checkpoints, \"a\" and \"b\""),
        (vec![data(), storage(), ZipEntry::stored("a/byteorder", b"big")], "big-endian"),
        (vec![storage()], "without `data.pkl`"),
        (vec![ZipEntry::stored("a/model.json", b"{}")], "PyTorch 1.0 to 1.3"),
        (vec![], "without `data.pkl`"),
    ] {
        let message = refusal(&zip(&entries));
        assert!(message.contains(reason), "{reason}: {message}");
    }
    let file = zip(&[data(), storage(), ZipEntry::stored("a/byteorder", b"little")]);
    assert!(open(&file).is_ok());
    assert!(refusal(&file[..file.len() - 1]).contains("is the file cut off?"));
}

#[test]
fn two_tensors_cannot_share_a_name() {
    let tensor = TensorPickle::default().instructions();
    let nested = [b"}".to_vec(), text("b"), tensor.clone(), b"s".to_vec()].concat();
    let pickle = [&b"\x80\x02}("[..], &text("a.b"), &tensor, &text("a"), &nested, b"u."].concat();
    assert!(refusal(&archive(&pickle, &STORAGE)).contains("two tensors are called \"a.b\""));
}

#[test]
fn an_index_and_its_shards_agree() {
    let shard = "model-00001-of-00002.safetensors";
    let other = "model-00002-of-00002.safetensors";
    let cases = [
        (format!(r#"{{"weight_map": {{"a.weight": "{shard}"}}}}"#), "a.bias is in"),
        (
            format!(
                r#"{{"weight_map": {{"a.weight": "{shard}", "a.bias": "{shard}", "b.weight": "{shard}"}}}}"#
            ),
            "b.weight is not in model-00001",
        ),
        (
            format!(
                r#"{{"weight_map": {{"a.weight": "{shard}", "a.bias": "{other}", "b.weight": "{other}"}}}}"#
            ),
            "a.bias is in model-00001",
        ),
        (r#"{"weight_map": {"a": "../model.safetensors"}}"#.into(), "not a plain file name"),
        (r#"{"weight_map": {"a": "/model.safetensors"}}"#.into(), "not a plain file name"),
        (r#"{"weight_map": {"a": "index.json"}}"#.into(), "it is an index"),
        (r#"{"weight_map": {"a": "absent.bin"}}"#.into(), "absent.bin"),
        (r#"{"weight_map": {}}"#.into(), "names no tensors"),
        (r#"{"hidden_size": 512}"#.into(), "without a `weight_map`"),
        (r#"{"weight_map": {"#.into(), "not a complete JSON file"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for name in [shard, other] {
        std::fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    let index = folder.path().join("index.json");
    for (json, reason) in cases {
        std::fs::write(&index, json).unwrap();
        let message =
            Checkpoint::open(&index).map(|checkpoint| checkpoint.container()).unwrap_err().to_string();
        assert!(message.contains(reason), "{reason}: {message}");
    }
}

#[test]
fn safetensors_without_gaps_overlaps_or_absurd_sizes() {
    let file = |header: &str, data: &[u8]| {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
    };
    let tensor = |shape: &str, start: u64, end: u64| {
        format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    };
    assert!(open(&file(&format!(r#"{{"a":{}}}"#, tensor("[2,1]", 0, 8)), &[0; 8])).is_ok());
    let (first, overlapping) = (tensor("[2]", 0, 8), tensor("[2]", 4, 12));
    for (header, length) in [
        (format!(r#"{{"a":{first},"b":{overlapping}}}"#), 12),
        (format!(r#"{{"a":{}}}"#, tensor("[2]", 4, 12)), 12),
        (format!(r#"{{"a":{first}}}"#), 7),
        (format!(r#"{{"a":{first}}}"#), 9),
        (format!(r#"{{"a":{}}}"#, tensor("[3]", 0, 8)), 8),
        (format!(r#"{{"a":{}}}"#, tensor("[4611686018427387904,4611686018427387904]", 0, 8)), 8),
        (format!(r#"{{"a":{}}}"#, tensor("[2]", 8, 0)), 8),
        (format!(r#"{{"a":{}}}"#, tensor("[2]", 0, u64::MAX)), 8),
        (format!(r#"{{"a":{}}}"#, tensor("[18446744073709551616]", 0, 8)), 8),
    ] {
        let message = refusal(&file(&header, &vec![0; length]));
        assert!(message.contains("not a complete safetensors file"), "{header}: {message}");
    }
    let cut_off = &fixture_bytes("single.safetensors")[..100];
    assert!(refusal(cut_off).contains("not a complete safetensors file"));
    let complex = r#"{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}"#;
    assert!(refusal(&file(complex, &[0; 8])).contains("a has the number format C64"));
}

#[test]
fn folders_and_absent_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let message = Checkpoint::open(folder.path()).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("expected a file"), "{message}");
    let absent = Checkpoint::open(folder.path().join("absent.pt")).map(|_| ()).unwrap_err();
    assert!(matches!(absent, CheckpointError::Read { .. }));
    assert!(absent.to_string().contains("absent.pt"));
}
