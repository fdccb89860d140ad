//! BERT text encoders: agreement with `transformers`, padding, names, and what is refused.

use crate::common::{Recorded, assert_close, copied, devices, edit_json, golden, values};
use crate::files::edit_weights;
use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use regulus_checkpoints::Checkpoint;
use regulus_clip::{
    Activation, Bert, BertBatch, BertBatchError, BertConfig, BertPooling, LoadError, LoadedBert, NoPooler,
    TensorFault, WeightsError, normalise,
};
use safetensors::Dtype;
use serde_json::{Value, json};

const TOLERANCE: f32 = 1e-4;
/// Matrix products of other heights add in another order.
const REORDERED: f32 = 1e-5;
const FILES: [&str; 2] = ["config.json", "model.safetensors"];
const OLD_NAMES: &str = "model_bert_prefix_gamma_beta.safetensors";

fn recorded_batch(io: &Recorded, config: &BertConfig) -> BertBatch {
    let (ids, mask, types) = (io.ids("input_ids"), io.ids("attention_mask"), io.ids("token_type_ids"));
    BertBatch::masked(&ids, &mask, &types, config).unwrap()
}

fn small(device: &Device) -> LoadedBert {
    LoadedBert::load(&golden("bert"), device).unwrap()
}

/// The rows of tokens that count, `[tokens, width]`.
fn counting(states: &Tensor<3>, mask: &[Vec<u32>]) -> Tensor<2> {
    let [texts, length, width] = states.dims();
    assert_eq!((texts, length), (mask.len(), mask[0].len()));
    let rows: Vec<f32> = values(states)
        .chunks(width)
        .zip(mask.iter().flatten())
        .filter(|(_, mask)| **mask == 1)
        .flat_map(|(row, _)| row.to_vec())
        .collect();
    let tokens = rows.len() / width;
    Tensor::from_data(TensorData::new(rows, [tokens, width]), &states.device())
}

fn assert_agrees(bert: &Bert, device: &Device) {
    let io = Recorded::read("bert/io.safetensors");
    let batch = recorded_batch(&io, bert.config());
    let mask = io.ids("attention_mask");
    let states = bert.hidden_states(&batch);
    let agree = |name: &str, found: &Tensor<3>| {
        let expected = counting(&io.tensor::<3>(name, device), &mask);
        assert_close(name, &counting(found, &mask), &expected, TOLERANCE);
    };
    agree("embeddings", &states.embeddings);
    assert_eq!(states.blocks.len(), 2);
    agree("hidden_0", &states.blocks[0]);
    agree("hidden_1", &states.blocks[1]);
    agree("last_hidden_state", &states.blocks[1]);
    for (name, pooling) in [
        ("cls", BertPooling::Cls),
        ("pooler_output", BertPooling::Pooler),
        ("mean_pooled", BertPooling::Mean),
    ] {
        let found = bert.encode(&batch, pooling).unwrap();
        assert_close(name, &found, &io.tensor(name, device), TOLERANCE);
    }
    let mean = normalise(bert.encode(&batch, BertPooling::Mean).unwrap());
    assert_close("mean_pooled_norm", &mean, &io.tensor("mean_pooled_norm", device), TOLERANCE);
}

#[test]
fn transformers_agrees() {
    for device in devices() {
        let loaded = small(&device);
        assert!(loaded.ignored.is_empty());
        assert_agrees(&loaded.bert, &device);
    }
}

#[test]
fn old_names_are_read_and_heads_passed_over() {
    for device in devices() {
        let config = BertConfig::load(&golden("bert")).unwrap();
        let checkpoint = Checkpoint::open(golden("bert").join(OLD_NAMES)).unwrap();
        let bert = Bert::from_checkpoint(&config, &checkpoint, &device).unwrap();
        assert_agrees(&bert, &device);
        let new = small(&device).bert.parameters();
        for (old, new) in bert.parameters().iter().zip(&new) {
            assert_eq!((&old.path, values(&old.value)), (&new.path, values(&new.value)));
        }
        let folder = copied("bert", &["config.json", OLD_NAMES]);
        std::fs::rename(folder.path().join(OLD_NAMES), folder.path().join("model.safetensors")).unwrap();
        let loaded = LoadedBert::load(folder.path(), &device).unwrap();
        assert_eq!(loaded.ignored, ["bert.embeddings.position_ids", "cls.predictions.bias"]);
    }
}

#[test]
fn masks_with_gaps_and_padding_in_front_agree() {
    for device in devices() {
        let io = Recorded::read("bert_masks/masked.safetensors");
        let bert = small(&device).bert;
        let batch = recorded_batch(&io, bert.config());
        let mask = io.ids("attention_mask");
        let last = counting(&bert.hidden_states(&batch).blocks[1], &mask);
        let expected = counting(&io.tensor::<3>("last_hidden_state", &device), &mask);
        assert_close("last_hidden_state", &last, &expected, TOLERANCE);
        let mean = bert.encode(&batch, BertPooling::Mean).unwrap();
        assert_close("mean_pooled", &mean, &io.tensor("mean_pooled", &device), TOLERANCE);
    }
}

#[test]
fn the_container_of_the_weights_is_told_by_its_contents() {
    for device in devices() {
        let folder = copied("bert", &FILES);
        let renamed = folder.path().join("pytorch_model.bin");
        std::fs::rename(folder.path().join("model.safetensors"), &renamed).unwrap();
        let loaded = LoadedBert::load(folder.path(), &device).unwrap();
        assert_eq!(loaded.sha256.get(), small(&device).sha256.get());
        std::fs::write(&renamed, "{").unwrap();
        let error = LoadedBert::load(folder.path(), &device).unwrap_err();
        assert!(error.to_string().contains("pytorch_model.bin"), "{error}");
    }
}

#[test]
fn rows_of_padding_are_zero() {
    for device in devices() {
        let bert = small(&device).bert;
        let batch = BertBatch::new(&[vec![2, 9, 3], vec![2, 8, 7, 6, 3]], bert.config()).unwrap();
        assert_eq!((batch.texts(), batch.length()), (2, 5));
        let states = bert.hidden_states(&batch);
        for state in states.blocks.iter().chain([&states.embeddings]) {
            let state = values(state);
            assert!(state[3 * 48..5 * 48].iter().all(|value| *value == 0.0));
            assert!(state[..3 * 48].iter().chain(&state[5 * 48..]).all(|value| *value != 0.0));
        }
    }
}

#[test]
fn every_parameter_has_a_path() {
    for device in devices() {
        let loaded = small(&device);
        let shapes = loaded.bert.shapes();
        assert_eq!(shapes.len(), 3 + 2 + 2 * 12 + 2);
        let found = |path: &str| shapes.iter().any(|(name, _)| name == path);
        assert!(found("transformer.resblocks.1.attn.in_proj_weight") && found("pooler.weight"));
        let count: usize = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(count as u128, loaded.config.parameter_count());
    }
}

#[test]
fn the_published_size_has_the_published_number_of_parameters() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    let config = BertConfig::load(folder.path()).unwrap();
    assert_eq!((config.layers, config.width, config.activation), (12, 768, Activation::Gelu));
    assert_eq!(config.parameter_count(), 109_482_240);
}

#[test]
fn weights_without_pooler_offer_the_other_features() {
    for device in devices() {
        let folder = copied("bert", &FILES);
        edit_weights(folder.path(), |tensors| tensors.retain(|key, _| !key.starts_with("pooler.")));
        let bert = LoadedBert::load(folder.path(), &device).unwrap().bert;
        assert!(!bert.has_pooler());
        let batch = recorded_batch(&Recorded::read("bert/io.safetensors"), bert.config());
        assert_eq!(bert.encode(&batch, BertPooling::Pooler).unwrap_err(), NoPooler);
        let whole = small(&device).bert;
        for pooling in [BertPooling::Cls, BertPooling::Mean] {
            let (found, expected) = (bert.encode(&batch, pooling), whole.encode(&batch, pooling));
            assert_eq!(values(&found.unwrap()), values(&expected.unwrap()));
        }
    }
}

#[test]
fn all_tensors_that_do_not_fit_are_listed_at_once() {
    let device = &devices()[0];
    let folder = copied("bert", &FILES);
    edit_weights(folder.path(), |tensors| {
        tensors.remove("pooler.dense.bias").unwrap();
        tensors.remove("encoder.layer.1.attention.self.key.weight").unwrap();
        tensors.insert("encoder.layer.2.output.dense.bias".into(), (Dtype::F32, vec![48], vec![0; 192]));
        tensors.insert("qa_outputs.bias".into(), (Dtype::F32, vec![2], vec![0; 8]));
        let (_, shape, _) = tensors.get_mut("encoder.layer.0.intermediate.dense.weight").unwrap();
        shape.reverse();
    });
    let error = LoadedBert::load(folder.path(), device).unwrap_err();
    let LoadError::Weights(WeightsError::Mismatch { faults, .. }) = error else { panic!("{error}") };
    let misshapen = "encoder.layer.0.intermediate.dense.weight";
    let expected = [
        TensorFault::Misshapen { key: misshapen.into(), found: vec![48, 96], expected: vec![96, 48] },
        TensorFault::Missing {
            key: "encoder.layer.1.attention.self.key.weight".into(),
            expected: vec![48, 48],
        },
        TensorFault::Unused { key: "encoder.layer.2.output.dense.bias".into(), found: vec![48] },
        TensorFault::Missing { key: "pooler.dense.bias".into(), expected: vec![48] },
    ];
    assert_eq!(faults, expected);
}

#[test]
fn other_kinds_of_models_are_refused() {
    let device = &devices()[0];
    for (field, value) in [
        ("model_type", json!("roberta")),
        ("position_embedding_type", json!("relative_key")),
        ("is_decoder", json!(true)),
        ("hidden_act", json!("relu")),
    ] {
        let folder = copied("bert", &FILES);
        edit_json(&folder.path().join("config.json"), |config| config[field] = value.clone());
        let error = LoadedBert::load(folder.path(), device).unwrap_err();
        assert!(matches!(&error, LoadError::Unsupported { field: found, .. } if *found == field), "{error}");
    }
    let folder = copied("bert", &["config.json"]);
    assert!(matches!(LoadedBert::load(folder.path(), device), Err(LoadError::NoWeights { .. })));
}

#[test]
fn the_activation_is_that_of_the_configuration() {
    let device = &devices()[0];
    let folder = copied("bert", &FILES);
    edit_json(&folder.path().join("config.json"), |config| config["hidden_act"] = json!("gelu_new"));
    let tanh = LoadedBert::load(folder.path(), device).unwrap();
    assert_eq!(tanh.config.activation, Activation::GeluTanh);
    let batch = recorded_batch(&Recorded::read("bert/io.safetensors"), &tanh.config);
    let [a, b] =
        [tanh.bert, small(device).bert].map(|bert| values(&bert.encode(&batch, BertPooling::Cls).unwrap()));
    let deviation = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(deviation > 1e-5 && deviation < 1e-2, "{deviation}");
}

#[test]
fn batches_that_cannot_be_read_are_refused() {
    let config = BertConfig::load(&golden("bert")).unwrap();
    let masked = |ids: &[u32], mask: &[u32], types: &[u32]| {
        BertBatch::masked(
            &[vec![2], ids.to_vec()],
            &[vec![1], mask.to_vec()],
            &[vec![0], types.to_vec()],
            &config,
        )
    };
    assert_eq!(BertBatch::new(&[], &config), Err(BertBatchError::Empty));
    assert_eq!(
        BertBatch::masked(&[vec![2]], &[], &[vec![0]], &config),
        Err(BertBatchError::Texts { ids: 1, mask: 0, token_types: 1 })
    );
    assert_eq!(
        masked(&[2, 3], &[1], &[0, 0]),
        Err(BertBatchError::Lengths { text: 1, ids: 2, mask: 1, token_types: 2 })
    );
    assert_eq!(masked(&[], &[], &[]), Err(BertBatchError::NoToken { text: 1 }));
    assert_eq!(masked(&[2, 3], &[0, 0], &[0, 0]), Err(BertBatchError::NoToken { text: 1 }));
    assert_eq!(
        masked(&[2; 42], &[1; 42], &[0; 42]),
        Err(BertBatchError::TooLong { text: 1, length: 42, context: 40 })
    );
    assert_eq!(
        masked(&[2, 200], &[1, 1], &[0, 0]),
        Err(BertBatchError::OutsideVocabulary { text: 1, id: 200, vocab: 200 })
    );
    assert_eq!(
        masked(&[2, 3], &[1, 1], &[0, 2]),
        Err(BertBatchError::OutsideTokenTypes { text: 1, token_type: 2, token_types: 2 })
    );
    assert!(masked(&[2, u32::MAX], &[1, 0], &[0, u32::MAX]).is_ok(), "padding is not read");
}

/// One to four texts of one to eight tokens, each with its type and whether it counts.
fn texts() -> impl Strategy<Value = Vec<Vec<(u32, u32, bool)>>> {
    let first = (0..200u32, 0..2u32).prop_map(|(id, kind)| (id, kind, true));
    let token = (0..200u32, 0..2u32, prop::bool::weighted(0.8));
    let text = (first, prop::collection::vec(token, 0..8)).prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        rest
    });
    prop::collection::vec(text, 1..5)
}

/// The texts, each filled up with as many tokens of padding as `padding` says.
fn padded(texts: &[Vec<(u32, u32, bool)>], padding: &[usize], config: &BertConfig) -> BertBatch {
    let rows = |value: &dyn Fn(&(u32, u32, bool)) -> u32, fill: u32| -> Vec<Vec<u32>> {
        let filled = |(text, padding): (&Vec<_>, &usize)| {
            text.iter().map(value).chain(std::iter::repeat_n(fill, *padding)).collect()
        };
        texts.iter().zip(padding).map(filled).collect()
    };
    let mask = rows(&|token| u32::from(token.2), 0);
    BertBatch::masked(&rows(&|token| token.0, 7), &mask, &rows(&|token| token.1, 1), config).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn features_depend_neither_on_padding_nor_on_other_texts(
        texts in texts(),
        padding in prop::collection::vec(0..50usize, 4),
    ) {
        let device = &devices()[0];
        let bert = small(device).bert;
        for pooling in [BertPooling::Cls, BertPooling::Pooler, BertPooling::Mean] {
            let encode = |batch| bert.encode(&batch, pooling).unwrap();
            let plain = encode(padded(&texts, &[0; 4], bert.config()));
            let with_padding = encode(padded(&texts, &padding, bert.config()));
            prop_assert_eq!(values(&plain), values(&with_padding));
            for (index, text) in texts.iter().enumerate() {
                let alone = encode(padded(std::slice::from_ref(text), &[3], bert.config()));
                assert_close("alone", &alone, &plain.clone().narrow(0, index, 1), REORDERED);
            }
        }
    }

    #[test]
    fn flipped_bytes_never_panic(
        file in 0..FILES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let folder = copied("bert", &FILES);
        let path = folder.path().join(FILES[file]);
        let mut bytes = std::fs::read(&path).unwrap();
        for (place, value) in flips {
            let length = bytes.len().min(4096);
            bytes[place.index(length)] = value;
        }
        std::fs::write(&path, bytes).unwrap();
        let _ = LoadedBert::load(folder.path(), &devices()[0]);
    }
}

#[test]
fn absurd_numbers_in_the_configuration_are_errors() {
    let device = &devices()[0];
    let fields = [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
        "type_vocab_size",
    ];
    let absurd =
        [json!(0), json!(-1), json!(0.5), json!("48"), json!([]), json!(1u64 << 32), json!(u64::MAX)];
    for field in fields {
        for value in &absurd {
            let folder = copied("bert", &FILES);
            edit_json(&folder.path().join("config.json"), |config| config[field] = value.clone());
            assert!(LoadedBert::load(folder.path(), device).is_err(), "{field}: {value}");
        }
    }
    let folder = copied("bert", &FILES);
    let most = |config: &mut Value| {
        for field in fields {
            config[field] = json!(if field == "num_hidden_layers" { 1 << 10 } else { 1 << 20 });
        }
    };
    edit_json(&folder.path().join("config.json"), most);
    let message = LoadedBert::load(folder.path(), device).unwrap_err().to_string();
    assert!(message.contains("the number of parameters"), "{message}");
}
