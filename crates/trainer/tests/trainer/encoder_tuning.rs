//! Fine-tuning of an image encoder where no trajectory is recorded: what learns from what, what moves the running
//! statistics, and that TeS without its texts is plain fine-tuning.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use regulus_clip::{
    Backbone, BlockKind, ConfigFault, LoadedBackbone, Precision, ResNet, ResNetArchitecture, ResNetLayer,
    RunningStatistics,
};
use regulus_images::FileError;
use regulus_losses::TesSettings;
use regulus_trainer::batches::{Augmentation, Batch, BatchSource, ImageSet};
use regulus_trainer::method::{BufferError, Method};
use regulus_trainer::methods::{EncoderTuning, ImageEncoder, Supervision};
use regulus_trainer::optim::Rule;
use regulus_trainer::parameters::Parameters;
use regulus_trainer::recorder::Recorder;
use regulus_trainer::schedule::{Decay, Pace, Schedule, Warmup};
use regulus_trainer::training::{TrainError, TrainingConfig, train};

use crate::support::{Case, RecordedBatches, compare, device, host, tiny_clip};

const PUBLISHED: TesSettings = TesSettings { tau: 0.03, lambda_v: 0.1, lambda_t: 0.3 };
const TEXT_WIDTH: usize = 6;
const CLASSES: usize = 5;

fn architecture() -> ResNetArchitecture {
    let layer = |inner: usize| ResNetLayer { blocks: 1, inner, outputs: 4 * inner };
    ResNetArchitecture {
        kind: BlockKind::Bottleneck,
        stem: 4,
        layers: [layer(2), layer(2), layer(4), layer(4)],
        classes: Some(3),
    }
}

pub fn resnet(device: &Device) -> Backbone {
    Backbone::ResNet(ResNet::init(&architecture(), 1, device).unwrap())
}

fn encoder(device: &Device) -> ImageEncoder {
    ImageEncoder::Backbone { network: resnet(device), device: device.clone() }
}

fn texts(device: &Device, settings: TesSettings) -> Supervision {
    let values: Vec<f32> = (0..CLASSES * TEXT_WIDTH).map(|index| (index as f32 * 0.7).sin()).collect();
    let features = Tensor::<1>::from_data(values.as_slice(), device).reshape([CLASSES, TEXT_WIDTH]);
    Supervision::Texts { features, settings }
}

fn labels(smoothing: f64) -> Supervision {
    Supervision::Labels { classes: CLASSES, smoothing }
}

fn tuning(encoder: ImageEncoder, supervision: Supervision) -> EncoderTuning {
    EncoderTuning::new(encoder, supervision, 2, RunningStatistics::default())
}

fn tes(device: &Device, settings: TesSettings) -> EncoderTuning {
    tuning(encoder(device), texts(device, settings))
}

fn batch(device: &Device) -> Batch {
    RecordedBatches { common: &Case::open("common"), device }.at(0).unwrap()
}

#[test]
fn the_projection_learns_from_the_texts_and_the_classifier_from_the_labels() {
    let device = device();
    let size = |gradient: Option<&Tensor<1>>| -> f64 {
        gradient.map_or(0.0, |gradient| host(gradient.clone()).iter().map(|slope| slope.abs()).sum())
    };
    let gradients = |lambda_t: f64| {
        let method = tes(&device, TesSettings { lambda_t, ..PUBLISHED });
        method.step(&method.parameters(), &batch(&device)).gradients
    };
    let (with, without) = (gradients(0.3), gradients(0.0));
    let projection = "projection_head.3.weight";
    assert!(size(with.get(projection)) > 1e-3);
    assert_eq!(size(without.get(projection)), 0.0);
    for name in ["fc.weight", "fc.bias"] {
        compare(name, &host(with[name].clone()), &host(without[name].clone()), 1e-6);
    }
    assert!(size(with.get("conv1.weight")) > 1e-3);
}

#[test]
fn the_networks_own_classifier_is_not_trained() {
    let method = tes(&device(), PUBLISHED);
    let shape = &method.parameters()["fc.weight"].shape;
    assert_eq!(shape, &[CLASSES, 16]);
    assert!(!method.parameters().iter().any(|(path, _)| RunningStatistics::holds(path)));
    assert!(method.is_head("fc.weight") && method.is_head("projection_head.1.bias"));
    assert!(!method.is_head("layer1.0.conv1.weight"));
}

#[test]
fn only_a_step_moves_the_running_statistics() {
    let (device, path) = (device(), "projection_head.1.running_mean");
    let (method, batch) = (tes(&device, PUBLISHED), batch(&device));
    let parameters = method.parameters();
    let before = host(method.logits(&parameters, batch.pixels.clone()));
    let loss = method.objective(&parameters, &batch).loss.into_scalar::<f64>();
    assert!(method.buffers().is_empty());
    let taken = method.step(&parameters, &batch);
    assert!((taken.loss - loss).abs() < 1e-6);
    let once = method.buffers();
    assert!(once.contains_key(path) && once.contains_key("layer4.0.downsample.1.running_var"));
    // From 0 by a tenth of the batch's mean, then by a tenth of the rest of the way.
    method.step(&parameters, &batch);
    let [once, twice] = [&once[path], &method.buffers()[path]].map(|value| host(value.clone()));
    compare(path, &twice, &once.iter().map(|mean| 1.9 * mean).collect::<Vec<f64>>(), 1e-5);
    let after = host(method.logits(&parameters, batch.pixels));
    assert!(before.iter().zip(&after).any(|(a, b)| (a - b).abs() > 1e-4), "predictions use them");
}

#[test]
fn buffers_are_put_back() {
    let (device, path) = (device(), "projection_head.1.running_mean");
    let (trained, batch) = (tes(&device, PUBLISHED), batch(&device));
    let parameters = trained.parameters();
    trained.step(&parameters, &batch);
    let buffers = trained.buffers();
    let mut restored = tes(&device, PUBLISHED);
    restored.restore_buffers(&buffers).unwrap();
    let logits = |method: &EncoderTuning| host(method.logits(&parameters, batch.pixels.clone()));
    assert_eq!(logits(&restored), logits(&trained));
    trained.step(&parameters, &batch);
    restored.step(&parameters, &batch);
    assert_eq!(host(restored.buffers()[path].clone()), host(trained.buffers()[path].clone()));

    let refused = |method: &mut EncoderTuning, path: &str, length: usize| {
        let buffers = BTreeMap::from([(path.to_owned(), Tensor::<1>::zeros([length], &device))]);
        method.restore_buffers(&buffers).unwrap_err()
    };
    assert_eq!(
        refused(&mut restored, path, 3),
        BufferError::Length { path: path.into(), found: 3, expected: 16 }
    );
    let unknown = |path: &str| BufferError::Unknown { path: path.into() };
    assert_eq!(refused(&mut restored, "layer9.running_mean", 16), unknown("layer9.running_mean"));
    let mut plain = tuning(encoder(&device), labels(0.0));
    assert_eq!(refused(&mut plain, path, 16), unknown(path));
    let mut clip = tuning(ImageEncoder::Clip(tiny_clip(&Case::open("common"), &device)), labels(0.0));
    assert_eq!(refused(&mut clip, path, 16), unknown(path));
}

fn config(batch: usize) -> TrainingConfig {
    TrainingConfig {
        steps: Some(4),
        epochs: None,
        batch,
        accumulate: 1,
        memory_budget: None,
        precision: Precision::F32,
        learning_rate: 0.01,
        head_multiplier: 1.0,
        weight_decay: 1e-3,
        no_decay: Vec::new(),
        clip_norm: None,
        clip_groups: Vec::new(),
        augmentation: Augmentation::None,
        schedule: Schedule { warmup: 0.0, rise: Warmup::FromZero, decay: Decay::Cosine, pace: Pace::Step },
        aggregation: None,
        selection: Default::default(),
        groups: Default::default(),
        optimiser: Rule::Sgd { momentum: 0.9, nesterov: true },
    }
}

/// Parameters and buffers after four steps, and the losses on the way.
fn trained(
    mut method: EncoderTuning,
    device: &Device,
) -> (Parameters, BTreeMap<String, Tensor<1>>, Vec<f64>) {
    let common = Case::open("common");
    let batches = RecordedBatches { common: &common, device };
    let mut recorder = Recorder::in_memory();
    let parameters = train(&mut method, &batches, &config(4), &mut recorder, &mut |_| {}).unwrap();
    (parameters, method.buffers(), recorder.steps().iter().map(|step| step.loss).collect())
}

/// The head that the comparison of two methods rests on.
fn without_texts_is_plain(encoder: impl Fn() -> ImageEncoder, device: &Device) {
    let silent = TesSettings { tau: 0.03, lambda_v: 0.0, lambda_t: 0.0 };
    let (guided, guided_buffers, guided_losses) = trained(tuning(encoder(), texts(device, silent)), device);
    let (plain, plain_buffers, plain_losses) = trained(tuning(encoder(), labels(0.0)), device);
    assert_eq!(guided_losses, plain_losses);
    assert_eq!(guided.len(), plain.len() + 6, "only the projection is more");
    for (path, leaf) in plain.iter() {
        assert_eq!(host(guided[path.as_str()].value.clone()), host(leaf.value.clone()), "{path}");
    }
    for (path, value) in &plain_buffers {
        assert_eq!(host(guided_buffers[path].clone()), host(value.clone()), "{path}");
    }
    let (smoothed, _, _) = trained(tuning(encoder(), labels(0.1)), device);
    assert_ne!(host(smoothed["fc.weight"].value.clone()), host(plain["fc.weight"].value.clone()));
    let start = tuning(encoder(), labels(0.0)).parameters();
    assert_ne!(host(start["fc.weight"].value.clone()), host(plain["fc.weight"].value.clone()));
}

#[test]
fn without_its_texts_tes_takes_the_steps_of_plain_fine_tuning() {
    let device = device();
    without_texts_is_plain(|| encoder(&device), &device);
    let clip = tiny_clip(&Case::open("common"), &device);
    without_texts_is_plain(|| ImageEncoder::Clip(clip.clone()), &device);
}

#[test]
fn smoothed_labels_are_those_of_label_smoothing() {
    let device = device();
    let loss = |smoothing| {
        let method = tuning(encoder(&device), labels(smoothing));
        method.objective(&method.parameters(), &batch(&device)).loss.into_scalar::<f64>()
    };
    // The loss is linear in the share of the uniform distribution.
    compare("loss", &[loss(0.1)], &[0.5 * (loss(0.0) + loss(0.2))], 1e-5);
    assert!(loss(0.2) != loss(0.0));
}

/// The first images of the recorded batches.
struct Cut<'a>(RecordedBatches<'a>, usize);

impl BatchSource for Cut<'_> {
    fn batch(&self, step: usize) -> Result<Option<Batch>, FileError> {
        let Some(Batch { pixels, labels, mut indices, epoch, step }) = self.0.at(step) else {
            return Ok(None);
        };
        indices.truncate(self.1);
        Ok(Some(Batch {
            pixels: pixels.narrow(0, 0, self.1),
            labels: labels.narrow(0, 0, self.1),
            indices,
            epoch,
            step,
        }))
    }

    fn steps_per_epoch(&self) -> usize {
        2
    }

    fn unchanging(&self) -> Option<ImageSet<'_>> {
        None
    }
}

#[test]
fn a_batch_of_one_image_is_refused_where_batches_are_normalised() {
    let (device, common) = (device(), Case::open("common"));
    let one = |mut method: EncoderTuning| {
        let batches = Cut(RecordedBatches { common: &common, device: &device }, 1);
        train(&mut method, &batches, &config(1), &mut Recorder::in_memory(), &mut |_| {}).map(|_| ())
    };
    let clip = || ImageEncoder::Clip(tiny_clip(&common, &device));
    for method in [
        tes(&device, PUBLISHED),
        tuning(encoder(&device), labels(0.0)),
        tuning(clip(), texts(&device, PUBLISHED)),
    ] {
        let error = one(method).unwrap_err();
        assert!(matches!(error, TrainError::SmallBatch { images: 1, smallest: 2, step: 0 }), "{error}");
        assert!(error.to_string().contains("training.batch"), "{error}");
    }
    one(tuning(clip(), labels(0.0))).unwrap();
}

#[test]
fn clips_tower_is_trained_without_its_projection() {
    let device = device();
    let encoder = ImageEncoder::Clip(tiny_clip(&Case::open("common"), &device));
    let method = tuning(encoder, texts(&device, PUBLISHED));
    let gradients = method.step(&method.parameters(), &batch(&device)).gradients;
    assert_eq!(gradients.len(), method.parameters().len());
    assert!(!gradients.contains_key("visual.proj"));
}

#[test]
fn counters_of_a_pretraining_are_no_hindrance() {
    let device = device();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../clip/tests/golden/tes_resnet/resnet.safetensors");
    let LoadedBackbone { backbone, batches, .. } = LoadedBackbone::load(file, &device).unwrap();
    let encoder = ImageEncoder::Backbone { network: backbone, device: device.clone() };
    let method = EncoderTuning::new(encoder, labels(0.0), 1, RunningStatistics::new(batches));
    method.step(&method.parameters(), &batch(&device));
    assert!(!method.buffers().keys().any(|path| path.contains("num_batches_tracked")));
}

#[test]
fn a_random_network_follows_from_its_seed() {
    let device = device();
    let init = |seed| Backbone::ResNet(ResNet::init(&architecture(), seed, &device).unwrap());
    let first = |network: &Backbone| host(network.parameters()[0].value.clone());
    assert_eq!(first(&init(1)), first(&init(1)));
    assert_ne!(first(&init(1)), first(&init(2)));
    let mut flat = architecture();
    flat.layers[2].blocks = 0;
    let error = ResNet::init(&flat, 0, &device).map(|_| ()).unwrap_err();
    assert_eq!(error.faults, [ConfigFault::Zero { field: "layers[2].blocks".into() }]);
    let unknown = BTreeMap::from([("layer9".to_string(), Tensor::<1>::zeros([1], &device))]);
    assert!(init(1).with_parameters(&unknown, &device).is_err());
}
