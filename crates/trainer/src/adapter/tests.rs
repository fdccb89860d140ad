//! Files of adapters: what comes back, what is refused, and how large they are.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::Tensor;
use proptest::prelude::*;
use regulus_clip::{Activation, Clip, ClipConfig};
use regulus_images::Preprocess;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::*;
use crate::testing::{close, device, tensor};

fn card() -> AdapterCard {
    AdapterCard {
        format: FORMAT,
        experiment: "0123".into(),
        method: "r-amt".into(),
        recipe: "seed = 1".into(),
        base_sha256: "ab".into(),
        backbone_sha256: None,
        activation: Activations { image: None, text: Activation::Gelu },
        resolution: 32,
        class_names: vec!["cat".into(), "dog \"é\"".into()],
        templates: vec!["a {}".into()],
        preprocess: Preprocess::clip(32),
        precision: "f32".into(),
        accuracy: BTreeMap::from([("id".into(), 51.25)]),
    }
}

/// A mask, a matrix and a running statistic.
fn adapter(mask: &[f32], matrix: &[f32], moved: &[f32]) -> Adapter {
    let device = device();
    let mut parameters = Parameters::default();
    parameters.insert_values("r-amt/visual.mask", mask.to_vec(), vec![mask.len()], &device);
    parameters.insert_values("matrix", matrix.to_vec(), vec![matrix.len() / 2, 2], &device);
    Adapter {
        card: card(),
        parameters,
        buffers: BTreeMap::from([("bn.running_mean".into(), tensor(moved, &device))]),
        thresholds: BTreeMap::from([("r-amt/visual.mask".into(), 5e-3)]),
    }
}

fn sample() -> Adapter {
    adapter(&[0.01, -1.0, 0.005, 0.0051, 0.0, 2.0, 0.0, 0.0, 1.0], &[1.0, 2.0, 3.0, 4.0], &[0.5])
}

fn values(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.to_data_as::<f32>().iter::<f32>().collect()
}

fn bits(tensor: &Tensor<1>) -> Vec<u32> {
    values(tensor).into_iter().map(f32::to_bits).collect()
}

/// The sample with another card, and tensors as they are.
fn with_card(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let bytes = sample().bytes().unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut card: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()[ENTRY]).unwrap();
    change(&mut card);
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let metadata = HashMap::from([(ENTRY.to_owned(), card.to_string())]);
    safetensors::serialize(tensors.iter(), Some(metadata)).unwrap()
}

fn fault(bytes: &[u8]) -> Fault {
    Adapter::of_bytes(bytes, &device()).unwrap_err()
}

proptest! {
    #[test]
    fn what_is_saved_is_loaded(
        mask in proptest::collection::vec(-0.1f32..0.1, 1..20),
        rows in proptest::collection::vec((any::<u32>(), any::<u32>()), 1..5),
        moved in proptest::collection::vec(any::<u32>(), 1..5),
    ) {
        let matrix: Vec<f32> = rows.iter().flat_map(|(a, b)| [f32::from_bits(*a), f32::from_bits(*b)]).collect();
        let moved: Vec<f32> = moved.into_iter().map(f32::from_bits).collect();
        let saved = adapter(&mask, &matrix, &moved);
        let bytes = saved.bytes().unwrap();
        let loaded = Adapter::of_bytes(&bytes, &device()).unwrap();
        prop_assert_eq!(&loaded.card, &saved.card);
        prop_assert_eq!(&loaded.thresholds, &saved.thresholds);
        prop_assert_eq!(bits(&loaded.parameters["matrix"].value), bits(&saved.parameters["matrix"].value));
        prop_assert_eq!(&loaded.parameters["matrix"].shape, &saved.parameters["matrix"].shape);
        prop_assert_eq!(bits(&loaded.buffers["bn.running_mean"]), bits(&saved.buffers["bn.running_mean"]));
        let read = values(&loaded.parameters["r-amt/visual.mask"].value);
        let sides = |values: &[f32]| values.iter().map(|value| *value > 5e-3).collect::<Vec<_>>();
        prop_assert_eq!(sides(&read), sides(&mask));
        prop_assert_eq!(loaded.bytes().unwrap(), bytes, "saving again gives the same file");
    }

    #[test]
    fn no_bytes_are_too_odd(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(), cut in any::<bool>(),
    ) {
        let mut bytes = sample().bytes().unwrap();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        // Whatever it says, it says it.
        let _ = Adapter::of_bytes(&bytes, &device());
    }

    #[test]
    fn noise_is_no_adapter(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(Adapter::of_bytes(&bytes, &device()).is_err());
    }
}

#[test]
fn hostile_lengths_are_refused_before_memory_is_reserved() {
    for length in [u64::MAX, 1 << 40, 9] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(b"{}");
        assert!(matches!(fault(&bytes), Fault::Container { .. }));
    }
    for shape in [json!([u64::MAX, 2]), json!([1u64 << 40]), json!([8]), json!([17]), json!([0])] {
        let odd = fault(&with_card(|card| card["bits"]["r-amt/visual.mask"]["shape"] = shape));
        assert!(matches!(odd, Fault::Shape { .. }), "{odd}");
    }
}

#[test]
fn each_fault_has_its_message() {
    let bytes = sample().bytes().unwrap();
    assert!(matches!(fault(&bytes[..bytes.len() - 1]), Fault::Container { .. }));
    let plain = safetensors::serialize(Vec::<(String, TensorView<'_>)>::new(), None).unwrap();
    assert_eq!(fault(&plain), Fault::NoCard);
    let newer = fault(&with_card(|card| card["format"] = json!(FORMAT + 1)));
    assert_eq!(newer, Fault::Format { found: FORMAT + 1 });
    assert!(newer.to_string().contains("newer Regulus"), "{newer}");
    let older = fault(&with_card(|card| {
        card.as_object_mut().unwrap().remove("format");
    }));
    assert!(older.to_string().contains("train again"), "{older}");
    for (key, value, part) in [
        ("class_names", json!([]), "class_names"),
        ("templates", json!([]), "templates"),
        ("templates", json!(["a photo"]), "a photo"),
        ("precision", json!("bf16"), "bf16"),
        ("resolution", json!("wide"), "string"),
        ("preprocess", json!({}), "missing field"),
    ] {
        let odd = fault(&with_card(|card| card[key] = value)).to_string();
        assert!(odd.contains("card is damaged") && odd.contains(part), "{odd}");
    }
    let odd = fault(&with_card(|card| card["preprocess"]["crop"] = json!(0))).to_string();
    assert!(odd.contains("crop"), "{odd}");
    let missing = fault(&with_card(|card| card["buffers"] = json!(["none"])));
    assert_eq!(missing, Fault::Missing { name: "none".into(), list: "buffers" });
    let missing = fault(&with_card(|card| card["bits"]["none"] = json!({ "shape": [1], "threshold": 0.0 })));
    assert_eq!(missing, Fault::Missing { name: "none".into(), list: "bits" });
    let wide = fault(&with_card(|card| card["bits"]["r-amt/visual.mask"]["threshold"] = json!(1e300)));
    assert!(matches!(wide, Fault::Threshold { found: 1e300, .. }), "{wide}");
    let unpacked = fault(&with_card(|card| card["bits"] = json!({})));
    assert!(matches!(&unpacked, Fault::Type { name, .. } if name == "r-amt/visual.mask"), "{unpacked}");
    let packed = fault(&with_card(|card| card["bits"]["matrix"] = json!({ "shape": [4], "threshold": 0.0 })));
    assert!(matches!(&packed, Fault::Type { name, .. } if name == "matrix"), "{packed}");
    let matrix = fault(&with_card(|card| card["buffers"] = json!(["matrix"])));
    assert!(matches!(&matrix, Fault::Shape { name, .. } if name == "matrix"), "{matrix}");
}

#[test]
fn files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let message = |path: &std::path::Path| Adapter::load(path, &device()).unwrap_err().to_string();
    assert!(message(&path).contains("a.safetensors"));
    assert!(message(folder.path()).contains("is not a file"));
    sample().save(&path).unwrap();
    assert_eq!(Adapter::load(&path, &device()).unwrap().card, card());
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(message(&path).contains("a.safetensors: not a whole safetensors file"));
}

/// 28.9 million masks of ViT-B/16 take an eighth of a byte each.
#[test]
fn a_vit_b_16_r_amt_adapter_is_about_3_5_megabytes() {
    let device = device();
    let config = ClipConfig::openai("ViT-B/16").unwrap();
    let ends = [".attn.in_proj_weight", ".attn.out_proj.weight", ".conv1.weight"];
    let mut masks = Adapter { parameters: Parameters::default(), thresholds: BTreeMap::new(), ..sample() };
    masks.buffers.clear();
    let mut count = 0;
    for (path, shape) in Clip::shapes_of(&config, &device).unwrap() {
        if !path.starts_with("visual.") || !ends.iter().any(|end| path.ends_with(end)) {
            continue;
        }
        let length: usize = shape.iter().product();
        // Neighbouring masks differ, in no short pattern.
        let values = (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 7 & 1) as f32 * 0.01).collect();
        masks.thresholds.insert(path.clone(), 5e-3);
        masks.parameters.insert_values(path, values, shape, &device);
        count += length;
    }
    assert_eq!(count, 12 * 4 * 768 * 768 + 768 * 3 * 16 * 16);
    let bytes = masks.bytes().unwrap();
    let megabytes = bytes.len() as f64 / 1e6;
    assert!((3.4..3.7).contains(&megabytes), "{megabytes} MB");
    let read = Adapter::of_bytes(&bytes, &device).unwrap();
    for (name, leaf) in masks.parameters.iter() {
        let (before, after) = (values(&leaf.value), values(&read.parameters[name.as_str()].value));
        assert!(before.iter().zip(&after).all(|(a, b)| (*a > 5e-3) == (*b > 5e-3)), "{name}");
    }
}

#[test]
fn means_by_hand() {
    let of = |matrix: &[f32], moved: f32| {
        let adapter = adapter(&[0.0], matrix, &[moved]);
        Adapter {
            parameters: adapter.parameters.filtered(|name| name == "matrix"),
            thresholds: BTreeMap::new(),
            ..adapter
        }
    };
    let (a, b) = (of(&[4.0, -2.0], 1.0), of(&[0.0, 6.0], 3.0));
    let mean = a.mean(&b, 0.25).unwrap();
    close(&mean.parameters["matrix"].value, &[1.0, 4.0], 0.0);
    close(&mean.buffers["bn.running_mean"], &[2.5], 0.0);
    close(&a.mean(&b, 1.0).unwrap().parameters["matrix"].value, &[4.0, -2.0], 0.0);
    close(&a.mean(&b, 0.0).unwrap().parameters["matrix"].value, &[0.0, 6.0], 0.0);

    let wider = of(&[0.0; 4], 1.0);
    let shapes = a.mean(&wider, 0.5).unwrap_err();
    assert!(matches!(&shapes, MeanError::Shapes { name, .. } if name == "matrix"), "{shapes}");
    let mut other = b.clone();
    other.card.base_sha256 = "cd".into();
    let base = a.mean(&other, 0.5).unwrap_err().to_string();
    assert!(base.contains("ab and cd"), "{base}");
    let masks = sample().mean(&sample(), 0.5).unwrap_err();
    assert!(matches!(masks, MeanError::Bits { .. }));
    let alone = a.mean(&sample(), 0.5).unwrap_err();
    assert!(matches!(alone, MeanError::Shapes { .. } | MeanError::Alone { .. }), "{alone}");
}

#[test]
fn a_name_cannot_be_parameter_and_buffer() {
    let mut twice = sample();
    twice.buffers.insert("matrix".into(), tensor(&[1.0], &device()));
    assert!(twice.bytes().unwrap_err().to_string().contains("matrix"));
    let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
    let metadata = HashMap::from([(ENTRY.to_owned(), "{}".to_owned())]);
    let bytes = safetensors::serialize([("x", view)], Some(metadata)).unwrap();
    assert_eq!(fault(&bytes), Fault::Format { found: 0 });
}
