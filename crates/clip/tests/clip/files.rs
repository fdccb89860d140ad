//! Saving, loading, and what is said about folders that do not load.

use crate::common::{WORDS, devices, golden, small_config, small_pretrained, values};
use burn::tensor::{Device, Tensor};
use rayon::prelude::*;
use regulus_clip::{
    Clip, LoadError, LoadedClip, Part, PartsFault, Pretrained, Publisher, Source, TensorFault, TokenBatch,
    TokenBatchError, Tokenizer, WeightsError,
};
use regulus_images::Preprocess;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn parameters(clip: &Clip) -> BTreeMap<String, Vec<f32>> {
    clip.parameters(Part::All).into_iter().map(|named| (named.path, values(&named.value))).collect()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn what_is_saved_is_loaded_bit_for_bit() {
    for device in devices() {
        let folder = tempfile::tempdir().unwrap();
        let saved = small_pretrained(&device);
        saved.save(folder.path()).unwrap();
        let loaded = Pretrained::load(folder.path(), &device).unwrap();
        assert_eq!(parameters(&loaded.clip), parameters(&saved.clip));
        assert_eq!(loaded.config, saved.config);
        assert_eq!(loaded.preprocess, saved.preprocess);
        assert_eq!(loaded.sha256.get(), saved.sha256.get());
        assert_eq!(loaded.source, Source::Path { path: folder.path().into(), publisher: Publisher::Hf });
        assert_eq!(loaded.tokenizer.encode("a cat", 9), saved.tokenizer.encode("a cat", 9));
        let again = tempfile::tempdir().unwrap();
        loaded.save(again.path()).unwrap();
        assert_eq!(files(again.path()), files(folder.path()));
    }
}

#[test]
fn published_weights_survive_a_round_trip() {
    for device in devices() {
        let loaded = LoadedClip::load(&golden("hf_vit"), &device).unwrap();
        assert_eq!(
            loaded.sha256.get(),
            "abd1c0db17ca3cb5a58814a5e01122dbc4ca8001d5dcc54a3513ae42c81a3a65",
            "the hash of the file is its identity"
        );
        let words: Vec<String> = (0..598).map(|index| format!("w{index}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = Tokenizer::word_level(&words).unwrap();
        Pretrained::from_parts(loaded.config.clone(), loaded.clip.clone(), tokenizer, Preprocess::clip(32))
            .unwrap()
            .save(folder.path())
            .unwrap();
        let again = LoadedClip::load(folder.path(), &device).unwrap();
        assert_eq!(again.config, loaded.config);
        assert_eq!(parameters(&again.clip), parameters(&loaded.clip));
        let original = fs::read(golden("hf_vit/model.safetensors")).unwrap();
        let saved = fs::read(folder.path().join("model.safetensors")).unwrap();
        let original = SafeTensors::deserialize(&original).unwrap();
        let saved = SafeTensors::deserialize(&saved).unwrap();
        for (name, tensor) in saved.iter() {
            assert_eq!(tensor, original.tensor(name).unwrap(), "{name}");
        }
        assert_eq!(saved.len() + 2, original.len(), "all but the two position_ids");
    }
}

/// Loaded weights lie in the file. Changing them in place changes neither the file nor the other parameters that lie
/// there, and a digest that is asked for afterwards is still that of the file.
#[test]
fn changed_weights_are_copies() {
    for device in devices() {
        let saved = small_pretrained(&device);
        let folder = tempfile::tempdir().unwrap();
        saved.save(folder.path()).unwrap();
        let before = fs::read(folder.path().join("model.safetensors")).unwrap();
        let loaded = Pretrained::load(folder.path(), &device).unwrap();
        for parameter in loaded.clip.parameters(Part::All) {
            let [count] = parameter.value.dims();
            let zeros = Tensor::<1>::zeros([count], &device);
            let changed = parameter.value.slice_assign(0..count, zeros).add_scalar(1.0);
            assert!(changed.into_data().iter::<f32>().all(|value| value == 1.0), "{}", parameter.path);
        }
        assert_eq!(parameters(&loaded.clip), parameters(&saved.clip));
        assert_eq!(fs::read(folder.path().join("model.safetensors")).unwrap(), before);
        // Replaced, as a new version of it would be: what is loaded stays what it was.
        saved.save(folder.path()).unwrap();
        assert_eq!(loaded.sha256.get(), saved.sha256.get());
        assert_eq!(parameters(&loaded.clip), parameters(&saved.clip));
    }
}

/// Queries, keys and values are joined when they are used, and by then the folder may hold another model.
#[test]
fn weights_that_are_used_later_are_those_that_were_loaded() {
    for device in devices() {
        let saved = small_pretrained(&device);
        let folder = tempfile::tempdir().unwrap();
        saved.save(folder.path()).unwrap();
        let loaded = Pretrained::load(folder.path(), &device).unwrap();
        let other = Clip::init(&saved.config, 99, &device).unwrap();
        assert_ne!(parameters(&other), parameters(&saved.clip));
        Pretrained::from_parts(saved.config, other, saved.tokenizer, saved.preprocess)
            .unwrap()
            .save(folder.path())
            .unwrap();
        assert_eq!(parameters(&loaded.clip), parameters(&saved.clip));
    }
}

/// All threads of a pool ask for the same parameters at once, and each of them may be the one that joins them.
#[test]
fn the_first_users_may_be_many() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    for device in devices() {
        let expected = small_pretrained(&device);
        let folder = tempfile::tempdir().unwrap();
        expected.save(folder.path()).unwrap();
        let expected = parameters(&expected.clip);
        for _ in 0..8 {
            let clip = LoadedClip::load(folder.path(), &device).unwrap().clip;
            let users = (0..16).map(|_| clip.clone()).collect::<Vec<_>>();
            let found: Vec<_> = pool.install(|| users.par_iter().map(parameters).collect());
            assert!(found.iter().all(|found| *found == expected));
        }
    }
}

#[test]
fn a_fine_tuned_copy_is_saved_and_found_again() {
    for device in devices() {
        let mut pretrained = small_pretrained(&device);
        let before = pretrained.sha256.clone();
        let value = Tensor::<1>::ones([72], &device.clone().autodiff()).require_grad();
        let values = BTreeMap::from([("visual.proj".to_string(), value)]);
        pretrained.clip = pretrained.clip.with_parameters(&values).unwrap();
        let folder = tempfile::tempdir().unwrap();
        pretrained.save(folder.path()).unwrap();
        let loaded = Pretrained::load(folder.path(), &device).unwrap();
        assert!(parameters(&loaded.clip)["visual.proj"].iter().all(|value| *value == 1.0));
        assert_ne!(loaded.sha256.get(), before.get());
    }
}

/// Rewrites the weights of `folder` after `edit` has changed the list of tensors.
pub fn edit_weights(folder: &Path, edit: impl Fn(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>)) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = file
        .iter()
        .map(|(key, view)| (key.to_string(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect();
    edit(&mut tensors);
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(key, (dtype, shape, data))| {
            (key.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap())
        })
        .collect();
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn all_tensors_that_do_not_fit_are_listed_at_once() {
    for device in devices() {
        let folder = tempfile::tempdir().unwrap();
        small_pretrained(&device).save(folder.path()).unwrap();
        edit_weights(folder.path(), |tensors| {
            tensors.remove("logit_scale").unwrap();
            tensors.remove("vision_model.encoder.layers.1.self_attn.k_proj.weight").unwrap();
            tensors.insert("vision_model.extra".into(), (Dtype::F32, vec![1], vec![0; 4]));
            let (_, shape, _) = tensors.get_mut("visual_projection.weight").unwrap();
            shape.reverse();
            let ids = (Dtype::I64, vec![1, 9], vec![0; 72]);
            tensors.insert("text_model.embeddings.position_ids".into(), ids);
            let (dtype, _, _) = tensors.get_mut("text_model.final_layer_norm.bias").unwrap();
            *dtype = Dtype::I32;
        });
        let error = Pretrained::load(folder.path(), &device).unwrap_err();
        let LoadError::Weights(WeightsError::Mismatch { path, faults }) = &error else {
            panic!("{error}");
        };
        assert_eq!(path, &folder.path().join("model.safetensors"));
        let (k_proj, projection) =
            ("vision_model.encoder.layers.1.self_attn.k_proj.weight", "visual_projection.weight");
        let expected = [
            TensorFault::Missing { key: "logit_scale".into(), expected: vec![] },
            TensorFault::Type { key: "text_model.final_layer_norm.bias".into(), found: "I32".into() },
            TensorFault::Missing { key: k_proj.into(), expected: vec![12, 12] },
            TensorFault::Unused { key: "vision_model.extra".into(), found: vec![1] },
            TensorFault::Misshapen { key: projection.into(), found: vec![12, 6], expected: vec![6, 12] },
        ];
        assert_eq!(faults, &expected);
        let message = error.to_string();
        for fault in &expected {
            assert!(message.contains(fault.key()), "{message}");
        }
        assert!(message.contains("has shape [12, 6], expected [6, 12]"), "{message}");
    }
}

#[test]
fn a_configuration_for_other_weights_is_reported_by_the_same_list() {
    for device in devices() {
        let folder = tempfile::tempdir().unwrap();
        small_pretrained(&device).save(folder.path()).unwrap();
        let path = folder.path().join("config.json");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, config.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1")).unwrap();
        let error = LoadedClip::load(folder.path(), &device).unwrap_err();
        let LoadError::Weights(WeightsError::Mismatch { faults, .. }) = error else { panic!("{error}") };
        assert_eq!(faults.len(), 16, "one block of HF has 16 tensors");
        assert!(faults.iter().all(|fault| matches!(fault, TensorFault::Unused { .. })));
    }
}

#[test]
fn other_number_formats_are_converted() {
    for device in devices() {
        let folder = tempfile::tempdir().unwrap();
        let pretrained = small_pretrained(&device);
        pretrained.save(folder.path()).unwrap();
        edit_weights(folder.path(), |tensors| {
            for (key, (dtype, _, data)) in tensors.iter_mut() {
                let values = data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
                (*dtype, *data) = match key.len() % 3 {
                    0 => {
                        let halves = values.map(burn::tensor::f16::from_f32);
                        (Dtype::F16, halves.flat_map(|value| value.to_le_bytes()).collect())
                    }
                    1 => {
                        let halves = values.map(burn::tensor::bf16::from_f32);
                        (Dtype::BF16, halves.flat_map(|value| value.to_le_bytes()).collect())
                    }
                    _ => (Dtype::F64, values.flat_map(|value| f64::from(value).to_le_bytes()).collect()),
                };
            }
        });
        let loaded = Pretrained::load(folder.path(), &device).unwrap();
        let expected = parameters(&pretrained.clip);
        for (path, found) in parameters(&loaded.clip) {
            for (a, b) in found.iter().zip(&expected[&path]) {
                assert!((a - b).abs() <= b.abs() / 128.0 + 1e-7, "{path}: {a} for {b}");
            }
        }
    }
}

#[test]
fn missing_files_are_named() {
    for device in devices() {
        for name in ["config.json", "tokenizer.json", "preprocessor_config.json"] {
            let folder = tempfile::tempdir().unwrap();
            small_pretrained(&device).save(folder.path()).unwrap();
            fs::remove_file(folder.path().join(name)).unwrap();
            let error = Pretrained::load(folder.path(), &device).unwrap_err();
            assert!(matches!(&error, LoadError::Missing { path, .. } if path.ends_with(name)), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        small_pretrained(&device).save(folder.path()).unwrap();
        fs::remove_file(folder.path().join("model.safetensors")).unwrap();
        let error = Pretrained::load(folder.path(), &device).unwrap_err();
        assert!(matches!(error, LoadError::NoWeights { .. }), "{error}");
        let error = Pretrained::load("no/such/folder", &device).unwrap_err();
        assert!(matches!(error, LoadError::Missing { .. }), "{error}");
    }
}

#[test]
fn a_folder_in_the_place_of_a_file_is_an_error() {
    for device in devices() {
        let folder = tempfile::tempdir().unwrap();
        small_pretrained(&device).save(folder.path()).unwrap();
        let weights = folder.path().join("model.safetensors");
        fs::remove_file(&weights).unwrap();
        fs::create_dir(&weights).unwrap();
        let error = Pretrained::load(folder.path(), &device).unwrap_err();
        assert!(matches!(error, LoadError::NoWeights { .. }), "{error}");
    }
}

#[test]
fn parts_of_different_models_are_refused() {
    let device = &devices()[0];
    let parts = |words: &[&str], side| {
        let config = small_config();
        let clip = Clip::init(&config, 1, device).unwrap();
        let tokenizer = Tokenizer::word_level(words).unwrap();
        match Pretrained::from_parts(config, clip, tokenizer, Preprocess::clip(side)) {
            Err(LoadError::Parts { source, .. }) => source.faults,
            Err(other) => panic!("{other}"),
            Ok(_) => Vec::new(),
        }
    };
    assert_eq!(parts(&WORDS, 8), []);
    let resolution = PartsFault::Resolution { crop: 16, resolution: 8 };
    assert_eq!(parts(&WORDS, 16), std::slice::from_ref(&resolution));
    let more = ["a", "photo", "of", "cat", "dog", "bird"];
    let vocabulary = PartsFault::Vocabulary { tokenizer: 8, model: 7 };
    let end = PartsFault::EndOfText { tokenizer: 7, model: "6".into() };
    assert_eq!(parts(&more, 16), [resolution, vocabulary, end]);
}

#[test]
fn ids_that_the_model_cannot_read_are_refused() {
    let config = small_config().text;
    let check = |text: Vec<u32>| TokenBatch::new(&[vec![5, 6], text], &config).map(|_| ());
    assert_eq!(check(vec![5, 0, 6]), Ok(()));
    assert_eq!(check(vec![5, 0]), Err(TokenBatchError::NoEnd { text: 1, eot_id: 6 }));
    assert_eq!(check(vec![]), Err(TokenBatchError::NoEnd { text: 1, eot_id: 6 }));
    assert_eq!(check(vec![5; 10]), Err(TokenBatchError::TooLong { text: 1, length: 10, context: 9 }));
    assert_eq!(check(vec![5, 7, 6]), Err(TokenBatchError::OutsideVocabulary { text: 1, id: 7, vocab: 7 }));
    assert_eq!(TokenBatch::new(&[], &config), Err(TokenBatchError::Empty));
}

/// The loader must not ask for a tracked device: whatever it is given, parameters stay frozen.
#[test]
fn loaded_parameters_are_frozen() {
    for device in devices() {
        let device: Device = device.autodiff();
        let clip = LoadedClip::load(&golden("hf_vit"), &device).unwrap().clip;
        let parameters = clip.parameters(Part::All);
        assert!(parameters.iter().all(|named| named.value.is_autodiff() && !named.value.is_tracked()));
    }
}
