//! Residual networks of torchvision and timm, in evaluation and training mode.

use crate::common::{Recorded, assert_close, devices, golden, values};
use burn::tensor::{DType, Device, Tensor, TensorData};
use regulus_clip::{
    Backbone, BackboneError, Injection, LoadedBackbone, Normalisation, ResNet, RunningStatistics,
    TensorFault, WeightsError,
};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use tempfile::TempDir;

/// Tolerance of the recorded tensors.
const TOLERANCE: f32 = 1e-4;
/// Bottleneck blocks, basic blocks.
const RECORDED: [&str; 2] = ["tes_resnet", "resnet_basic"];

fn load(name: &str, device: &Device) -> (LoadedBackbone, ResNet) {
    let loaded = ResNet::load(golden(name).join("resnet.safetensors"), device).unwrap();
    let resnet = resnet(&loaded).clone();
    (loaded, resnet)
}

fn resnet(loaded: &LoadedBackbone) -> &ResNet {
    let Backbone::ResNet(resnet) = &loaded.backbone else { panic!("another architecture") };
    resnet
}

#[test]
fn evaluation_agrees() {
    for device in devices() {
        for name in RECORDED {
            let io = Recorded::read(&format!("{name}/io.safetensors"));
            let (_, resnet) = load(name, &device);
            let none = Injection::none();
            let pixels = io.tensor::<4>("pixel_values", &device);
            let states = resnet.hidden_states(pixels.clone(), &none, Normalisation::Running);
            let expect = |name: &str| io.tensor::<4>(name, &device);
            assert_close(&format!("{name} eval_maxpool"), &states.stem, &expect("eval_maxpool"), TOLERANCE);
            assert_eq!(states.layers.len(), 4);
            for (index, layer) in states.layers.iter().enumerate() {
                let key = format!("eval_layer{}", index + 1);
                assert_close(&format!("{name} {key}"), layer, &expect(&key), TOLERANCE);
            }
            let features = resnet.features(pixels, &none, Normalisation::Running);
            let expected = io.tensor("eval_features", &device);
            assert_close(&format!("{name} eval_features"), &features, &expected, TOLERANCE);
            assert_eq!(features.dims()[1], resnet.width());
            let logits = resnet.logits(features, &none).unwrap();
            let expected = io.tensor("eval_fc", &device);
            assert_close(&format!("{name} eval_fc"), &logits, &expected, TOLERANCE);
        }
    }
}

/// Compares running statistics and counters with the recorded ones.
fn assert_statistics_agree(name: &str, running: &RunningStatistics, io: &Recorded, device: &Device) {
    let file = io.file();
    let mut worst = 0.0f32;
    let mut compared = 0;
    for (key, tensor) in file.iter() {
        let Some(path) = key.strip_prefix("after_train.") else { continue };
        if tensor.dtype() == Dtype::I64 {
            let expected = u64::from_le_bytes(tensor.data().try_into().unwrap());
            assert_eq!(running.batches().get(path), Some(&expected), "{path}");
        } else {
            let expected = io.tensor::<1>(key, device);
            worst = worst.max(assert_close(path, &running.values()[path], &expected, TOLERANCE));
            compared += 1;
        }
    }
    assert_eq!(running.values().len(), compared);
    println!("{name} after_train: {worst:e}");
}

#[test]
fn training_mode_agrees_and_moves_the_running_statistics() {
    for device in devices() {
        for name in RECORDED {
            let io = Recorded::read(&format!("{name}/io.safetensors"));
            let (loaded, resnet) = load(name, &device);
            let mut running = RunningStatistics::new(loaded.batches);
            let pixels = io.tensor::<4>("pixel_values", &device);
            let none = Injection::none();
            let features = resnet.features(pixels, &none, Normalisation::Batch(&mut running));
            let expected = io.tensor("train_features", &device);
            assert_close(&format!("{name} train_features"), &features, &expected, TOLERANCE);
            assert_statistics_agree(name, &running, &io, &device);
        }
    }
}

#[test]
fn running_statistics_go_on_from_pass_to_pass_and_can_be_injected() {
    for device in devices() {
        let io = Recorded::read("tes_resnet/io.safetensors");
        let (loaded, resnet) = load("tes_resnet", &device);
        let pixels = io.tensor::<4>("pixel_values", &device);
        let none = Injection::none();
        let mut running = RunningStatistics::new(BTreeMap::new());
        resnet.features(pixels.clone(), &none, Normalisation::Batch(&mut running));
        let once = running.clone();
        let injected = once.injected(Injection::none());
        let mut from_injection = RunningStatistics::default();
        resnet.features(pixels.clone(), &injected, Normalisation::Batch(&mut from_injection));
        resnet.features(pixels.clone(), &none, Normalisation::Batch(&mut running));
        for (path, value) in running.values() {
            assert_eq!(values(value), values(&from_injection.values()[path]), "{path}");
            assert_ne!(values(value), values(&once.values()[path]), "{path}");
        }
        assert!(running.batches().values().all(|batches| *batches == 2));
        assert_eq!(running.batches().len(), loaded.batches.len());
        let before = resnet.features(pixels.clone(), &none, Normalisation::Running);
        let after = resnet.features(pixels, &injected, Normalisation::Running);
        assert_ne!(values(&before), values(&after));
    }
}

/// The paths that an optimiser trains, with a leaf for each.
fn leaves(resnet: &LoadedBackbone) -> Vec<(String, Tensor<1>)> {
    let parameters = resnet.backbone.parameters().into_iter();
    parameters
        .filter(|named| !RunningStatistics::holds(&named.path) && !named.path.starts_with("fc."))
        .map(|named| (named.path, named.value.autodiff().require_grad()))
        .collect()
}

fn all(leaves: &[(String, Tensor<1>)]) -> Injection {
    leaves.iter().fold(Injection::none(), |all, (path, leaf)| all.replace(path.clone(), leaf.clone()))
}

#[test]
fn gradients_in_training_mode_agree() {
    for plain in devices() {
        for base in [plain.clone(), plain.clone().autodiff()] {
            let io = Recorded::read("resnet_basic/io.safetensors");
            let (loaded, resnet) = load("resnet_basic", &base);
            let leaves = leaves(&loaded);
            let mut running = RunningStatistics::default();
            let pixels = io.tensor::<4>("pixel_values", &base);
            let features = resnet.features(pixels, &all(&leaves), Normalisation::Batch(&mut running));
            let weights = io.tensor::<2>("loss_weights", &features.device());
            let gradients = (features * weights).sum().backward();
            for (path, leaf) in &leaves {
                let (expected, _) = io.values(&format!("grad.{path}"));
                let expected = Tensor::<1>::from_floats(expected.as_slice(), &plain);
                let found = leaf.grad(&gradients).unwrap();
                assert_close(path, &found, &expected, TOLERANCE);
            }
            for (path, value) in running.values() {
                assert!(!value.is_tracked(), "{path}");
            }
        }
    }
}

/// Sum of the features with weights that keep no symmetry.
fn loss(resnet: &ResNet, pixels: Tensor<4>, injection: &Injection, is_training: bool) -> Tensor<1> {
    let mut running = RunningStatistics::default();
    let normalisation = if is_training { Normalisation::Batch(&mut running) } else { Normalisation::Running };
    let features = resnet.features(pixels, injection, normalisation);
    let count = features.dims().iter().product::<usize>();
    let weights: Vec<f64> = (0..count).map(|index| (index as f64 * 1.7).sin()).collect();
    let weights = TensorData::new(weights, [count]);
    let weights = Tensor::<1>::from_data(weights, (&features.device(), features.dtype()));
    (features.reshape([count]) * weights).sum()
}

/// In f64, so that steps are small enough to stay on one side of every ReLU.
#[cfg(feature = "flex")]
#[test]
fn gradients_of_all_weights_are_the_slopes_of_the_loss_in_both_modes() {
    let device = Device::flex();
    let (loaded, resnet) = load("tes_resnet", &device);
    let wide = |tensor: Tensor<1>| tensor.cast(DType::F64);
    let pixels =
        Recorded::read("tes_resnet/io.safetensors").tensor::<4>("pixel_values", &device).cast(DType::F64);
    let parameters = loaded.backbone.parameters().into_iter();
    let base: BTreeMap<String, Tensor<1>> = parameters
        .map(|named| (named.path, wide(named.value)))
        .filter(|(path, _)| !path.starts_with("fc."))
        .collect();
    let frozen =
        base.iter().fold(Injection::none(), |all, (path, value)| all.replace(path.clone(), value.clone()));
    for is_training in [false, true] {
        for (path, value) in &base {
            if is_training && RunningStatistics::holds(path) {
                continue;
            }
            let leaf = value.clone().autodiff().require_grad();
            let injection = frozen.clone().replace(path.clone(), leaf.clone());
            let gradients = loss(&resnet, pixels.clone(), &injection, is_training).backward();
            let gradient = leaf.grad(&gradients).unwrap();
            let length = single(gradient.clone().powi_scalar(2).sum()).sqrt();
            assert!(length > 1e-4, "{path}: {length}");
            let step = 1e-7 / length;
            let at = |sign: f64| {
                let moved = value.clone() + gradient.clone() * (sign * step);
                single(loss(
                    &resnet,
                    pixels.clone(),
                    &frozen.clone().replace(path.clone(), moved),
                    is_training,
                ))
            };
            let slope = (at(1.0) - at(-1.0)) / (2.0 * step * length);
            assert!((slope / length - 1.0).abs() < 1e-4, "{path} {is_training}: {slope} for {length}");
        }
    }
}

fn single(tensor: Tensor<1>) -> f64 {
    tensor.into_scalar()
}

#[test]
fn nothing_is_tracked_without_an_injection() {
    for device in devices() {
        let device = device.autodiff();
        let (_, resnet) = load("tes_resnet", &device);
        let pixels = Recorded::read("tes_resnet/io.safetensors").tensor::<4>("pixel_values", &device);
        for is_training in [false, true] {
            assert!(!loss(&resnet, pixels.clone(), &Injection::none(), is_training).is_tracked());
        }
    }
}

/// A tensor of a file that a test writes.
#[derive(Clone)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn zeros(shape: &[usize]) -> Self {
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes: vec![0; 4 * shape.iter().product::<usize>()] }
    }
}

fn stored(name: &str) -> BTreeMap<String, Stored> {
    let bytes = std::fs::read(golden(name).join("resnet.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(key, tensor)| {
            let (dtype, shape, bytes) = (tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec());
            (key.to_string(), Stored { dtype, shape, bytes })
        })
        .collect()
}

/// Loads a file of these tensors.
fn load_stored(tensors: &BTreeMap<String, Stored>) -> Result<LoadedBackbone, BackboneError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weights");
    let views = tensors.iter().map(|(key, tensor)| {
        (key, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &path).unwrap();
    LoadedBackbone::load(path, &devices()[0])
}

/// The same tensors with each name behind a prefix.
fn prefixed(prefix: &str, tensors: BTreeMap<String, Stored>) -> BTreeMap<String, Stored> {
    tensors.into_iter().map(|(key, tensor)| (format!("{prefix}{key}"), tensor)).collect()
}

fn assert_same(found: &LoadedBackbone, expected: &LoadedBackbone, has_classifier: bool) {
    let values_of = |loaded: &LoadedBackbone| {
        let parameters = loaded.backbone.parameters().into_iter();
        let kept = parameters.filter(|named| has_classifier || !named.path.starts_with("fc."));
        kept.map(|named| (named.path.clone(), values(&named.value))).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(values_of(found), values_of(expected));
    assert_eq!(found.batches, expected.batches);
    assert_eq!(found.preprocess, expected.preprocess);
}

#[test]
fn prefixes_and_containers_are_recognised() {
    for name in RECORDED {
        let (plain, _) = load(name, &devices()[0]);
        assert!(plain.ignored.is_empty());
        for prefix in ["module.", "state_dict.", "state_dict.module."] {
            let mut tensors = prefixed(prefix, stored(name));
            let expected: &[&str] = if prefix.starts_with("state_dict.") {
                tensors.insert("optimizer.state.0.momentum_buffer".into(), Stored::zeros(&[3]));
                &["optimizer.state.0.momentum_buffer"]
            } else {
                &[]
            };
            let loaded = load_stored(&tensors).unwrap();
            assert_eq!(loaded.ignored, expected);
            assert_same(&loaded, &plain, true);
        }
    }
}

#[test]
fn the_published_container_of_moco_holds_the_same_network() {
    for device in devices() {
        let [legacy, plain] = ["moco_v2_legacy.pth.tar", "resnet.safetensors"]
            .map(|file| LoadedBackbone::load(golden("tes_resnet").join(file), &device).unwrap());
        let named = |loaded: &LoadedBackbone| -> BTreeMap<String, Vec<f32>> {
            let parameters = loaded.backbone.parameters().into_iter();
            let network = parameters.filter(|named| !named.path.starts_with("fc."));
            network.map(|named| (named.path, values(&named.value))).collect()
        };
        assert!(named(&legacy) == named(&plain));
        assert_eq!(legacy.batches, plain.batches);
        assert!(legacy.ignored.iter().any(|name| name.contains("encoder_k")), "{:?}", legacy.ignored);
    }
}

#[test]
fn of_a_moco_checkpoint_only_the_query_encoder_is_read() {
    let (plain, _) = load("tes_resnet", &devices()[0]);
    for container in ["", "state_dict."] {
        let training =
            ["module.encoder_k.conv1.weight", "module.encoder_q.fc.0.weight", "module.encoder_q.fc.2.bias"];
        let others = training.into_iter().chain(["module.queue", "module.queue_ptr"]);
        let mut ignored: Vec<String> = others.map(|name| format!("{container}{name}")).collect();
        if !container.is_empty() {
            ignored.push("optimizer.state.0.momentum_buffer".into());
            ignored.sort();
        }
        let mut query = stored("tes_resnet");
        query.retain(|key, _| !key.starts_with("fc."));
        let mut tensors = prefixed(&format!("{container}module.encoder_q."), query);
        tensors.extend(ignored.iter().map(|name| (name.clone(), Stored::zeros(&[2, 3]))));
        let loaded = load_stored(&tensors).unwrap();
        assert_eq!(loaded.ignored, ignored);
        assert_same(&loaded, &plain, false);
        let features = Tensor::zeros([1, 192], &devices()[0]);
        assert!(resnet(&loaded).logits(features, &Injection::none()).is_none());
    }
}

/// The faults of a file that differs from the recorded one.
fn faults(tensors: &BTreeMap<String, Stored>) -> Vec<TensorFault> {
    match load_stored(tensors).unwrap_err() {
        BackboneError::Weights(WeightsError::Mismatch { faults, .. }) => faults,
        other => panic!("{other}"),
    }
}

#[test]
fn whatever_does_not_fit_is_listed() {
    let mut tensors = stored("tes_resnet");
    tensors.remove("layer2.0.bn2.running_var");
    tensors.insert("layer3.0.bn1.bias".into(), Stored::zeros(&[7]));
    tensors.insert("layer4.7.conv1.weight".into(), Stored::zeros(&[1, 1, 1, 1]));
    tensors.insert("queue".into(), Stored::zeros(&[2]));
    let (found, expected) = (vec![7], vec![24]);
    assert_eq!(
        faults(&tensors),
        [
            TensorFault::Missing { key: "layer2.0.bn2.running_var".into(), expected: vec![12] },
            TensorFault::Misshapen { key: "layer3.0.bn1.bias".into(), found, expected },
            TensorFault::Unused { key: "layer4.7.conv1.weight".into(), found: vec![1, 1, 1, 1] },
            TensorFault::Unused { key: "queue".into(), found: vec![2] },
        ]
    );
}

#[test]
fn other_networks_are_refused_with_a_reason() {
    let refused = |edit: &dyn Fn(&mut BTreeMap<String, Stored>)| {
        let mut tensors = stored("tes_resnet");
        edit(&mut tensors);
        load_stored(&tensors).unwrap_err().to_string()
    };
    let message = refused(&|tensors| {
        tensors.insert("layer1.0.conv2.weight".into(), Stored::zeros(&[6, 3, 3, 3]));
    });
    assert!(message.contains("layer1.0.conv2.weight") && message.contains("ResNeXt"), "{message}");
    let message = refused(&|tensors| {
        tensors.remove("conv1.weight");
    });
    assert!(message.contains("no known backbone") && message.contains("found bn1.bias, "), "{message}");
    let message = refused(&|tensors| tensors.clear());
    assert!(message.contains("found no tensors"), "{message}");
    let message = refused(&|tensors| tensors.retain(|key, _| !key.starts_with("layer4.")));
    assert!(message.contains("layer4.0.conv1.weight is missing"), "{message}");
    let missing = ResNet::load(golden("nothing.safetensors"), &devices()[0]);
    assert!(matches!(missing, Err(BackboneError::Weights(WeightsError::Checkpoint(_)))));
}

#[test]
fn no_shape_of_a_tensor_causes_a_panic() {
    for name in RECORDED {
        let recorded = stored(name);
        for key in recorded.keys() {
            for shape in [&[][..], &[0], &[1 << 60, 0], &[0, 0, 0, 0], &[1 << 60, 0, 3, 3], &[1, 1, 1, 1]] {
                let mut tensors = recorded.clone();
                tensors.insert(key.clone(), Stored::zeros(shape));
                let is_counter = key.ends_with("num_batches_tracked");
                assert!(is_counter || load_stored(&tensors).is_err(), "{key} {shape:?}");
            }
        }
    }
}
