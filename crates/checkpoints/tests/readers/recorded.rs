//! Every fixture against what `make.py` recorded of it.

use crate::builders::{fixture, fixture_bytes};
use regulus_checkpoints::{Checkpoint, Container, Dtype, Scalar, sha256};
use serde_json::Value;
use std::collections::BTreeMap;

fn expected() -> serde_json::Map<String, Value> {
    serde_json::from_slice(&fixture_bytes("expected.json")).unwrap()
}

fn dtype(name: &str) -> Dtype {
    match name {
        "bool" => Dtype::Bool,
        "uint8" => Dtype::U8,
        "int8" => Dtype::I8,
        "int16" => Dtype::I16,
        "int32" => Dtype::I32,
        "int64" => Dtype::I64,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        other => panic!("{other}"),
    }
}

fn scalar(value: &Value) -> Scalar {
    match value {
        Value::Bool(value) => Scalar::Bool(*value),
        Value::String(value) => Scalar::Text(value.clone()),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Scalar::Float(number.as_f64().unwrap()), Scalar::Int)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn every_fixture_holds_what_torch_wrote() {
    let expected = expected();
    assert_eq!(expected.len(), 11);
    for (file, expected) in &expected {
        let checkpoint = Checkpoint::open(fixture(file)).unwrap();
        assert_eq!(format!("{:?}", checkpoint.container()), expected["container"], "{file}");
        let tensors = expected["tensors"].as_object().unwrap();
        let names: Vec<&str> = checkpoint.tensors().map(|(name, _)| name).collect();
        assert_eq!(names, tensors.keys().collect::<Vec<_>>(), "{file}");
        for (name, tensor) in tensors {
            let view = checkpoint.tensor(name).unwrap();
            assert_eq!(view.dtype(), dtype(tensor["dtype"].as_str().unwrap()), "{file}: {name}");
            assert_eq!(serde_json::to_value(view.shape()).unwrap(), tensor["shape"], "{file}: {name}");
            let values = tensor["values"].as_array().unwrap();
            let floats: Vec<f64> = values.iter().map(|value| value.as_f64().unwrap()).collect();
            assert_eq!(view.to_f64(), floats, "{file}: {name}");
            assert_eq!(view.numel(), floats.len());
            if view.dtype().is_float() {
                let singles: Vec<f32> = floats.iter().map(|&value| value as f32).collect();
                assert_eq!((view.to_f32(), view.to_i64()), (Some(singles), None), "{file}: {name}");
            } else {
                let integers = values.iter().map(|value| value.as_i64().unwrap()).collect();
                assert_eq!((view.to_f32(), view.to_i64()), (None, Some(integers)), "{file}: {name}");
            }
        }
        let scalars: BTreeMap<String, Scalar> = expected["scalars"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| (key.clone(), scalar(value)))
            .collect();
        for (name, value) in &scalars {
            assert_eq!(checkpoint.scalars().get(name), Some(value), "{file}: {name}");
        }
        // Modules say of every part whether it was training, and list their internals.
        if !["script.pt", "whole_module.pt"].contains(&file.as_str()) {
            assert_eq!(checkpoint.scalars(), &scalars, "{file}");
        }
    }
}

#[test]
fn shards_are_one_checkpoint() {
    for (index, container) in [
        ("model.safetensors.index.json", Container::ShardedSafetensors),
        ("pytorch_model.bin.index.json", Container::ShardedTorch),
    ] {
        let checkpoint = Checkpoint::open(fixture(index)).unwrap();
        assert_eq!((checkpoint.container(), checkpoint.path()), (container, fixture(index).as_path()));
        let text = String::from_utf8(fixture_bytes(index)).unwrap();
        let weight_map = &serde_json::from_str::<Value>(&text).unwrap()["weight_map"];
        let digest = |tensor: &str| sha256(&fixture_bytes(weight_map[tensor].as_str().unwrap()));
        let digests = [digest("a.weight"), digest("b.weight")].concat();
        assert_eq!(checkpoint.sha256().get(), sha256(digests.as_bytes()));
    }
}

/// Shared bytes are the values, of whatever container, and outlive the checkpoint.
#[test]
fn values_without_a_copy_are_the_converted_ones() {
    let mut shared = Vec::new();
    for name in ["dtypes.pt", "moco.pth.tar", "model.safetensors.index.json", "pytorch_model.bin.index.json"]
    {
        let checkpoint = Checkpoint::open(fixture(name)).unwrap();
        for (_, tensor) in checkpoint.tensors() {
            if let Some(bytes) = tensor.shared_f32() {
                assert_eq!(tensor.dtype(), Dtype::F32);
                shared.push((bytes, tensor.to_f32().unwrap()));
            }
            let mut written = vec![0.5; tensor.numel()];
            assert_eq!(tensor.write_f32(&mut written).then_some(written), tensor.to_f32());
            assert!(!tensor.write_f32(&mut vec![0.0; tensor.numel() + 1]));
        }
        checkpoint.sha256().get();
    }
    assert!(!shared.is_empty());
    for (bytes, values) in shared {
        let found: Vec<f32> =
            bytes.as_ref().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert!(
            found.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()) && found.len() == values.len()
        );
    }
}

/// The digest is that of the file which was opened, also if another one has its name when it is asked for.
#[test]
fn a_digest_does_not_take_the_file_that_came_after() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a.pt"), folder.path().join("b.pt"));
    std::fs::copy(fixture("dtypes.pt"), &path).unwrap();
    std::fs::copy(fixture("moco.pth.tar"), &other).unwrap();
    let digest = Checkpoint::open(&path).unwrap().sha256();
    if cfg!(unix) {
        std::fs::rename(&other, &path).unwrap();
    }
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let digest = digest.clone();
            std::thread::spawn(move || digest.get().to_owned())
        })
        .collect();
    let expected = sha256(&fixture_bytes("dtypes.pt"));
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == expected));
}

#[test]
fn the_digest_of_a_file_is_that_of_its_bytes() {
    let checkpoint = Checkpoint::open(fixture("dtypes.pt")).unwrap();
    assert_eq!(checkpoint.sha256().get(), sha256(&fixture_bytes("dtypes.pt")));
    assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
