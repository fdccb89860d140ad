//! TeS where no trajectory is recorded: what learns from what, what moves the running statistics, and parts that do
//! not fit together.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use regulus_clip::{
    Backbone, BlockKind, ConfigFault, ResNet, ResNetArchitecture, ResNetLayer, RunningStatistics,
};
use regulus_losses::TesSettings;
use regulus_trainer::batches::Batch;
use regulus_trainer::method::Method;
use regulus_trainer::methods::{ImageEncoder, Tes, TesError, TesHead};

use crate::support::{Case, RecordedBatches, compare, device, host, tiny_clip};

const PUBLISHED: TesSettings = TesSettings { tau: 0.03, lambda_v: 0.1, lambda_t: 0.3 };
const TEXT_WIDTH: usize = 6;

fn architecture() -> ResNetArchitecture {
    let layer = |inner: usize| ResNetLayer { blocks: 1, inner, outputs: 4 * inner };
    ResNetArchitecture {
        kind: BlockKind::Bottleneck,
        stem: 4,
        layers: [layer(2), layer(2), layer(4), layer(4)],
        classes: Some(3),
    }
}

fn encoder(device: &Device) -> ImageEncoder {
    let network = Backbone::ResNet(ResNet::init(&architecture(), 1, device).unwrap());
    ImageEncoder::Backbone { network, device: device.clone() }
}

fn text(device: &Device) -> Tensor<2> {
    let values: Vec<f32> = (0..5 * TEXT_WIDTH).map(|index| (index as f32 * 0.7).sin()).collect();
    Tensor::<1>::from_data(values.as_slice(), device).reshape([5, TEXT_WIDTH])
}

fn tes(device: &Device, settings: TesSettings) -> Tes {
    let encoder = encoder(device);
    let head = TesHead::new(encoder.width(), TEXT_WIDTH, 5, 2, device);
    Tes::new(encoder, head, text(device), settings, RunningStatistics::default()).unwrap()
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
    assert_eq!(shape, &[5, 16]);
    assert!(!method.parameters().iter().any(|(path, _)| RunningStatistics::holds(path)));
}

#[test]
fn only_a_step_moves_the_running_statistics() {
    let (device, path) = (device(), "projection_head.1.running_mean");
    let (method, batch) = (tes(&device, PUBLISHED), batch(&device));
    let parameters = method.parameters();
    let before = host(method.logits(&parameters, batch.pixels.clone()));
    let loss = method.objective(&parameters, &batch).loss.into_scalar::<f64>();
    assert!(method.running_statistics().is_empty());
    let taken = method.step(&parameters, &batch);
    assert!((taken.loss - loss).abs() < 1e-6);
    let once = method.running_statistics();
    assert!(once.contains_key(path) && once.contains_key("layer4.0.downsample.1.running_var"));
    // From 0 by a tenth of the batch's mean, then by a tenth of the rest of the way.
    method.step(&parameters, &batch);
    let [once, twice] = [&once[path], &method.running_statistics()[path]].map(|value| host(value.clone()));
    compare(path, &twice, &once.iter().map(|mean| 1.9 * mean).collect::<Vec<f64>>(), 1e-5);
    let after = host(method.logits(&parameters, batch.pixels));
    assert!(before.iter().zip(&after).any(|(a, b)| (a - b).abs() > 1e-4), "predictions use them");
}

#[test]
fn parts_that_do_not_fit_are_told() {
    let device = device();
    let new = |head: TesHead, text: Tensor<2>| {
        Tes::new(encoder(&device), head, text, PUBLISHED, RunningStatistics::default())
            .map(|_| ())
            .unwrap_err()
    };
    let head = |width, text_width, classes| TesHead::new(width, text_width, classes, 0, &device);
    assert_eq!(new(head(16, TEXT_WIDTH, 4), text(&device)), TesError::Texts { texts: 5, classes: 4 });
    assert_eq!(new(head(16, 7, 5), text(&device)), TesError::TextWidth { text: TEXT_WIDTH, projection: 7 });
    assert_eq!(new(head(9, TEXT_WIDTH, 5), text(&device)), TesError::ImageWidth { encoder: 16, head: 9 });
    assert!(head(16, 6, 5).with_value("fc.bias", Tensor::zeros([4], &device)).is_none());
    assert!(head(16, 6, 5).with_value("fc.other", Tensor::zeros([5], &device)).is_none());
}

#[test]
fn clips_tower_is_trained_without_its_projection() {
    let device = device();
    let encoder = ImageEncoder::Clip(tiny_clip(&Case::open("common"), &device));
    let head = TesHead::new(encoder.width(), TEXT_WIDTH, 5, 0, &device);
    let method = Tes::new(encoder, head, text(&device), PUBLISHED, RunningStatistics::default()).unwrap();
    let gradients = method.step(&method.parameters(), &batch(&device)).gradients;
    assert_eq!(gradients.len(), method.parameters().len());
    assert!(!gradients.contains_key("visual.proj"));
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
