//! OpenAI's residual network as an image tower.

use crate::common::{Recorded, WORDS, assert_close, devices, golden, small_config, values};
use burn::tensor::{Device, Tensor};
use regulus_clip::{
    Activation, Clip, ClipConfig, ConfigFault, ImageConfig, ImageTower, Injection, LoadedClip,
    ModifiedResNet, Part, Pooling, Pretrained, ResNetConfig, RunningStatistics, SaveError, TextConfig,
    Tokenizer, normalise,
};
use regulus_images::Preprocess;
use std::collections::BTreeMap;

/// Tolerance of the recorded tensors.
const TOLERANCE: f32 = 1e-4;

fn config() -> ClipConfig {
    ClipConfig {
        embed_dim: 24,
        image: ImageConfig::ResNet(ResNetConfig { resolution: 64, width: 4, blocks: [1, 2, 1, 1], heads: 2 }),
        text: TextConfig {
            vocab: 150,
            context: 20,
            width: 64,
            layers: 1,
            heads: 1,
            mlp_width: 256,
            activation: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            sot_id: 148,
            eot_id: 149,
            pad_id: 0,
            pooling: Pooling::HighestId,
        },
        logit_scale_init: 0.0,
    }
}

/// Name in OpenAI's files of the parameter at a canonical path.
fn openai_name(path: &str) -> &str {
    path.strip_prefix("text.").unwrap_or(path)
}

/// OpenAI's own small model.
fn recorded_model(device: &Device) -> Clip {
    let loaded = LoadedClip::load(&golden("openai_rn/model.safetensors"), device).unwrap();
    assert_eq!(loaded.config.image, config().image);
    loaded.clip
}

fn tower(clip: &Clip) -> &ModifiedResNet {
    match &clip.visual {
        ImageTower::ResNet(resnet) => resnet,
        ImageTower::Vit(_) => panic!("another architecture"),
    }
}

#[test]
fn paths_and_shapes_are_those_of_openai() {
    for device in devices() {
        let file = Recorded::read("openai_rn/model.safetensors");
        let file = file.file();
        let expected: BTreeMap<&str, Vec<usize>> = file
            .iter()
            .filter(|(name, _)| !name.ends_with("num_batches_tracked"))
            .map(|(name, tensor)| (name, tensor.shape().to_vec()))
            .collect();
        let shapes = Clip::shapes_of(&config(), &device).unwrap();
        let mut found: BTreeMap<&str, Vec<usize>> =
            shapes.iter().map(|(path, shape)| (openai_name(path), shape.clone())).collect();
        // OpenAI's logit scale has no dimension, which Burn's tensors cannot have.
        assert_eq!(found.insert("logit_scale", vec![]), Some(vec![1]));
        assert_eq!(found, expected);
    }
}

#[test]
fn every_intermediate_result_agrees() {
    for device in devices() {
        let io = Recorded::read("openai_rn/io.safetensors");
        let clip = recorded_model(&device);
        let none = Injection::none();
        let pixels = io.tensor::<4>("pixel_values", &device);
        let states = tower(&clip).hidden_states(pixels.clone(), &none);
        let expect = |name: &str| io.tensor::<4>(name, &device);
        assert_close("rn_relu1", &states.stem_first, &expect("rn_relu1"), TOLERANCE);
        assert_close("rn_avgpool", &states.stem, &expect("rn_avgpool"), TOLERANCE);
        assert_eq!(states.layers.len(), 4);
        for (index, layer) in states.layers.iter().enumerate() {
            let name = format!("rn_layer{}", index + 1);
            assert_close(&name, layer, &expect(&name), TOLERANCE);
        }
        assert_eq!(states.pooled.dims(), [3, 128]);
        assert_close("rn_attnpool", &states.features, &io.tensor("rn_attnpool", &device), TOLERANCE);
        let images = clip.encode_image(pixels, &none);
        assert_eq!(values(&images), values(&states.features));
        let texts = clip.encode_text(&io.ids("input_ids"), &none);
        assert_close(
            "images",
            &normalise(images.clone()),
            &io.tensor("image_features_norm", &device),
            TOLERANCE,
        );
        assert_close("texts", &texts, &io.tensor("text_features", &device), TOLERANCE);
        let logits = clip.logits(images, texts, &none);
        assert_close("logits", &logits, &io.tensor("logits_per_image", &device), TOLERANCE);
    }
}

/// Sum of the features with weights that keep no symmetry.
fn loss(clip: &Clip, injection: &Injection, device: &Device) -> Tensor<1> {
    let pixels = Recorded::read("openai_rn/io.safetensors").tensor::<4>("pixel_values", device);
    let features = clip.encode_image(pixels.narrow(0, 0, 1), injection);
    let weights: Vec<f32> = (0..24).map(|index| (index as f32 * 1.7).sin()).collect();
    (features.reshape([24]) * Tensor::from_floats(weights.as_slice(), device)).sum()
}

#[test]
fn replacing_weights_equals_a_model_with_these_weights() {
    for device in devices() {
        let clip = recorded_model(&device);
        let before = values(&loss(&clip, &Injection::none(), &device));
        let mut all = Injection::none();
        let mut moved = BTreeMap::new();
        for parameter in clip.parameters(Part::Image) {
            let value = parameter.value * 0.9 + 0.01;
            // A bias of all keys moves all scores of a query alike, which changes nothing but roundings.
            let seen = match parameter.path.ends_with("k_proj.bias") {
                true => value.clone() * f32::NAN,
                false => value.clone(),
            };
            let one = Injection::none().replace(parameter.path.clone(), seen);
            assert_ne!(values(&loss(&clip, &one, &device)), before, "{} is not read", parameter.path);
            all = all.replace(parameter.path.clone(), value.clone());
            moved.insert(parameter.path, value);
        }
        let copy = clip.with_parameters(&moved).unwrap();
        let expected = values(&loss(&copy, &Injection::none(), &device));
        assert_eq!(values(&loss(&clip, &all, &device)), expected);
        assert_eq!(values(&loss(&clip, &Injection::none(), &device)), before, "the base has changed");
    }
}

#[test]
fn nothing_is_tracked_without_an_injection() {
    for device in devices() {
        let device = device.autodiff();
        let clip = recorded_model(&device);
        assert!(!loss(&clip, &Injection::none(), &device).is_tracked());
    }
}

#[test]
fn gradients_of_all_weights_predict_the_change_of_the_loss() {
    for plain in devices() {
        for base in [plain.clone(), plain.clone().autodiff()] {
            let clip = recorded_model(&base);
            let leaves: Vec<(String, Tensor<1>)> = clip
                .parameters(Part::Image)
                .into_iter()
                .map(|named| (named.path, named.value.autodiff().require_grad()))
                .collect();
            let all = leaves
                .iter()
                .fold(Injection::none(), |all, (path, leaf)| all.replace(path.clone(), leaf.clone()));
            let gradients = loss(&clip, &all, &base).backward();
            for (path, leaf) in &leaves {
                let gradient = leaf.grad(&gradients).unwrap();
                let length = values(&gradient.clone().powi_scalar(2).sum())[0].sqrt();
                if path.ends_with("k_proj.bias") {
                    // The same for all keys, it does not change their softmax.
                    assert!(length < 1e-5, "{path}: {length}");
                    continue;
                }
                assert!(length > 1e-4, "{path}: {length}");
                let step = 1e-3_f32.min(3e-3 / length);
                let at = |sign: f32| {
                    let value = leaf.clone().inner() + gradient.clone() * (sign * step / length);
                    values(&loss(&clip, &Injection::none().replace(path.clone(), value), &base))[0]
                };
                let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
                assert!((slope / length - 1.0).abs() < 0.02, "{path}: {slope} for {length}");
            }
        }
    }
}

#[test]
fn initial_values_follow_their_distributions() {
    for device in devices() {
        let clip = Clip::init(&config(), 5, &device).unwrap();
        for parameter in clip.parameters(Part::Image) {
            let (path, drawn) = (&parameter.path, values(&parameter.value));
            let inputs: usize = parameter.shape.iter().skip(1).product();
            let constant = |value: f32| assert!(drawn.iter().all(|x| *x == value), "{path}");
            if path.contains("attnpool") && path.ends_with("bias") {
                let bound = 1.0 / 128f32.sqrt();
                assert!(
                    drawn.iter().all(|x| x.abs() <= bound) && drawn.iter().any(|x| x.abs() > 0.7 * bound)
                );
            } else if path.contains("attnpool") {
                let deviation = (drawn.iter().map(|x| x * x).sum::<f32>() / drawn.len() as f32).sqrt();
                assert!((deviation * 128f32.sqrt() - 1.0).abs() < 0.15, "{path}: {deviation}");
            } else if parameter.shape.len() == 4 {
                let bound = 1.0 / (inputs as f32).sqrt();
                let largest = drawn.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                assert!(largest <= bound && largest > 0.7 * bound, "{path}: {largest} for {bound}");
            } else if path.ends_with("bias")
                || path.ends_with("running_mean")
                || (path.contains("layer") && path.ends_with("bn3.weight"))
            {
                constant(0.0);
            } else {
                constant(1.0);
            }
        }
        assert_eq!(values(&clip.logit_scale(&Injection::none())), [0.0]);
    }
}

#[test]
fn running_statistics_are_parameters_that_are_not_counted() {
    for device in devices() {
        let config = config();
        let shapes = Clip::shapes_of(&config, &device).unwrap();
        let size = |shape: &[usize]| shape.iter().product::<usize>();
        let all: usize = shapes.iter().map(|(_, shape)| size(shape)).sum();
        let running: usize = shapes
            .iter()
            .filter(|(path, _)| RunningStatistics::holds(path))
            .map(|(_, shape)| size(shape))
            .sum();
        assert!(running > 0);
        assert_eq!((all - running) as u128, config.parameter_count());
    }
}

#[test]
fn a_configuration_survives_json() {
    let config = config();
    let text = serde_json::to_string(&config).unwrap();
    assert!(
        text.contains(r#""image":{"kind":"resnet","resolution":64,"width":4,"blocks":[1,2,1,1],"heads":2}"#)
    );
    assert_eq!(serde_json::from_str::<ClipConfig>(&text).unwrap(), config);
}

#[test]
fn faults_of_a_configuration_are_all_listed() {
    let with = |resnet| ClipConfig { image: ImageConfig::ResNet(resnet), ..small_config() };
    let error = with(ResNetConfig { resolution: 70, width: 5, blocks: [1, 0, 2000, 1], heads: 3 }).check();
    let message = error.unwrap_err().to_string();
    for part in [
        "image.resolution is 70, expected a multiple of",
        "image.width is 5, expected a multiple of",
        "image.blocks[1] is 0",
        "image.blocks[2] is 2000, expected at most 1024",
        "32 * image.width is 160, expected a multiple of image.heads (3)",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let absurd = with(ResNetConfig {
        resolution: usize::MAX,
        width: usize::MAX,
        blocks: [usize::MAX; 4],
        heads: usize::MAX,
    });
    let faults = absurd.check().unwrap_err().faults;
    assert!(faults.iter().any(|fault| matches!(fault, ConfigFault::TooLarge { .. })));
    let deep = with(ResNetConfig { resolution: 1 << 19, width: 1 << 15, blocks: [1024; 4], heads: 1 });
    assert!(matches!(deep.check().unwrap_err().faults.as_slice(), [ConfigFault::TooLarge { .. }]));
}

#[test]
fn a_folder_that_cannot_hold_the_architecture_is_not_written() {
    for device in devices() {
        let image = ImageConfig::ResNet(ResNetConfig { resolution: 32, width: 2, blocks: [1; 4], heads: 1 });
        let config = ClipConfig { image, ..small_config() };
        let clip = Clip::init(&config, 1, &device).unwrap();
        let tokenizer = Tokenizer::word_level(&WORDS).unwrap();
        let model = Pretrained::from_parts(config, clip, tokenizer, Preprocess::clip(32)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let error = model.save(folder.path().join("model")).unwrap_err();
        assert!(matches!(error, SaveError::Unrepresentable { field: "image.kind", .. }), "{error}");
        assert!(!folder.path().join("model").exists());
    }
}
