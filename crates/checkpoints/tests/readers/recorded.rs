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
        assert_eq!(checkpoint.sha256(), sha256(digests.as_bytes()));
    }
}

#[test]
fn the_digest_of_a_file_is_that_of_its_bytes() {
    let checkpoint = Checkpoint::open(fixture("dtypes.pt")).unwrap();
    assert_eq!(checkpoint.sha256(), sha256(&fixture_bytes("dtypes.pt")));
    assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
