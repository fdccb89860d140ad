//! SimCLR: what it trains, that its gradients are those of its loss, and that it learns.

use regulus_clip::{Activation, Backbone, VitBackbone, VitConfig};
use regulus_datasets::LabelledImages;
use regulus_images::Preprocess;
use regulus_images::random::Stream;
use regulus_trainer::batches::{Augmentation, BatchSource, ImageSet, Sampler};
use regulus_trainer::experiment::parse_toml;
use regulus_trainer::method::Method;
use regulus_trainer::recorder::Recorder;
use regulus_trainer::simclr::{SimClr, SimClrSpec};
use regulus_trainer::training::{TrainingConfig, train};
use regulus_trainer::views::{TwoViews, ViewSpec};

use crate::support::device;

const VIEWS: &str = r#"
    crop = { scale = [0.7, 1.0] }
    flip = 0.5
    jitter = { chance = 0.8, brightness = 0.1, contrast = 0.1, saturation = 0.1, hue = 0.02 }
    grey = 0.0
    blur = { chance = 0.0, radius = 1, sigma = [0.1, 1.0] }
"#;

const TRAINING: &str = r#"
    steps = 30
    batch = 8
    learning_rate = 3e-3
    schedule = { decay = "constant" }
    optimiser = { rule = "adam-w" }
"#;

fn backbone() -> Backbone {
    let config = VitConfig {
        resolution: 8,
        patch: 4,
        width: 16,
        layers: 1,
        heads: 2,
        mlp_width: 32,
        activation: Activation::Gelu,
        layer_norm_eps: 1e-6,
    };
    Backbone::Vit(VitBackbone::init(&config, 1, &device()).unwrap())
}

fn simclr() -> SimClr {
    let spec = SimClrSpec { hidden: 24, projected: 8, temperature: 0.2 };
    SimClr::new(backbone(), spec, 1, device())
}

/// Images of one colour each.
fn images() -> LabelledImages {
    let mut stream = Stream::new(1, "colours", 0, 0);
    let mut pixels = Vec::new();
    for _ in 0..8 {
        let colour: [u8; 3] = std::array::from_fn(|_| stream.below(256) as u8);
        (0..64).for_each(|_| pixels.extend(colour));
    }
    LabelledImages::new(8, pixels, vec![0; 8]).unwrap()
}

fn with_source<T>(use_it: impl FnOnce(&dyn BatchSource) -> T) -> T {
    let (images, preprocess, device) = (images(), Preprocess::clip(8), device());
    let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
    let sampler =
        Sampler { images: set, originals: &images, seed: 1, batch: 8, augmentation: Augmentation::None };
    let views: ViewSpec = parse_toml(VIEWS, "test").unwrap();
    use_it(&TwoViews { sampler, views })
}

#[test]
fn every_parameter_of_backbone_and_projection_is_trained() {
    let simclr = simclr();
    let parameters = simclr.parameters();
    let backbone = backbone().parameters().len();
    assert_eq!(parameters.len(), backbone + 4);
    assert_eq!(parameters["projection.0.weight"].shape, [24, 16]);
    let batch = with_source(|source| source.batch(0)).unwrap().unwrap();
    let outcome = simclr.step(&parameters, &batch);
    assert_eq!(outcome.gradients.len(), parameters.len());
    // Among 15 other views none stands out before training.
    assert!((outcome.loss - 15f64.ln()).abs() < 1.5, "{}", outcome.loss);
    assert!(simclr.is_head("projection.2.bias") && !simclr.is_head("conv1.weight"));
}

#[test]
fn training_finds_the_partners_and_leaves_a_backbone() {
    let mut simclr = simclr();
    let config: TrainingConfig = parse_toml(TRAINING, "test").unwrap();
    let mut recorder = Recorder::in_memory();
    let parameters =
        with_source(|source| train(&mut simclr, source, &config, &mut recorder, &mut |_| {})).unwrap();
    let losses: Vec<f64> = recorder.steps().iter().map(|step| step.loss).collect();
    assert!(losses[29] < 0.7 * losses[0], "{losses:?}");
    let trained = simclr.finished(&parameters).unwrap();
    let moved = trained.parameters().into_iter().zip(backbone().parameters());
    for (now, before) in moved {
        assert_eq!(now.path, before.path);
        let [now, before] = [now.value, before.value].map(|value| value.to_data_as::<f32>());
        assert!(now.iter::<f32>().zip(before.iter::<f32>()).any(|(now, before)| now != before));
    }
}

#[test]
fn specs_out_of_range_are_told() {
    let wrong = SimClrSpec { hidden: 0, projected: 1 << 20, temperature: f64::NAN };
    let keys: Vec<&str> = wrong.faults().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["hidden", "projected", "temperature"]);
}
