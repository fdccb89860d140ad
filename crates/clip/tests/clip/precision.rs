//! Towers that compute in 16 bit against the same towers in f32.

use crate::common::{devices, golden, small_config, small_pixels, small_texts, values};
use burn::tensor::{Device, Tensor, TensorData};
use regulus_clip::{Clip, ImageTower, Injection, LoadedClip, Part, Precision, RunningStatistics};
use regulus_images::random::Stream;

/// Largest relative distance from the result in f32: twice what was measured on the CPU.
#[derive(Clone, Copy)]
struct Tolerance {
    features: f64,
    gradients: f64,
}

struct Model {
    clip: Clip,
    pixels: Tensor<4>,
    texts: Vec<Vec<u32>>,
    bf16: Tolerance,
    f16: Tolerance,
}

impl Model {
    fn vit(device: &Device) -> Self {
        Self {
            clip: Clip::init(&small_config(), 2, device).unwrap(),
            pixels: small_pixels(device),
            texts: small_texts(),
            bf16: Tolerance { features: 2e-2, gradients: 4e-2 },
            f16: Tolerance { features: 2e-3, gradients: 3e-3 },
        }
    }

    /// Its gradients suffer more: where rounding moves a value across 0, its ReLU lets through another gradient.
    fn resnet(device: &Device) -> Self {
        let mut stream = Stream::new(3, "pixels", 0, 0);
        let pixels: Vec<f32> = (0..2 * 3 * 64 * 64).map(|_| stream.normal() as f32).collect();
        Self {
            clip: LoadedClip::load(&golden("openai_rn/model.safetensors"), device).unwrap().clip,
            pixels: Tensor::from_data(TensorData::new(pixels, [2, 3, 64, 64]), device),
            texts: vec![vec![148, 3, 149], vec![148, 4, 5, 149], vec![148, 9, 149]],
            bf16: Tolerance { features: 2e-2, gradients: 0.25 },
            f16: Tolerance { features: 4e-3, gradients: 0.1 },
        }
    }

    fn computing_in(&self, precision: Precision) -> Self {
        Self {
            clip: self.clip.clone().computing_in(precision),
            pixels: self.pixels.clone(),
            texts: self.texts.clone(),
            ..*self
        }
    }

    /// The formats that the device knows.
    fn formats(&self) -> Vec<(Precision, Tolerance)> {
        let all = [(Precision::Bf16, self.bf16), (Precision::F16, self.f16)];
        all.into_iter().filter(|(format, _)| format.is_supported_by(&self.pixels.device())).collect()
    }

    /// Features of images and texts, and the gradients of all parameters for `factor` times a function of them,
    /// divided by `factor`.
    fn pass(&self, factor: f64) -> (Vec<f32>, Vec<f32>) {
        let parameters = self.clip.parameters(Part::All).into_iter();
        let trained = parameters.filter(|parameter| !RunningStatistics::holds(&parameter.path));
        let leaves: Vec<(String, Tensor<1>)> =
            trained.map(|parameter| (parameter.path, parameter.value.autodiff().require_grad())).collect();
        let injection =
            leaves.iter().fold(Injection::none(), |all, (path, leaf)| all.replace(path, leaf.clone()));
        let images = self.clip.encode_image(self.pixels.clone(), &injection);
        let texts = self.clip.encode_text(&self.texts, &injection);
        let features = [values(&images.clone().inner()), values(&texts.clone().inner())].concat();
        let weights = Tensor::from_floats([[0.3, -1.1, 0.7], [-0.2, 0.9, 0.4]], &self.pixels.device());
        let mut gradients = ((images.matmul(texts.transpose()) * weights).sum() * factor).backward();
        let reached = leaves.iter().filter_map(|(_, leaf)| leaf.grad_remove(&mut gradients));
        (features, reached.flat_map(|gradient| values(&(gradient / factor))).collect())
    }
}

/// Length of the difference, in lengths of what is expected.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let length =
        |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let difference = length(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    difference / length(&mut expected.iter().copied())
}

#[track_caller]
fn assert_near(format: Precision, found: [&[f32]; 2], expected: [&[f32]; 2], tolerance: Tolerance) {
    let features = distance(found[0], expected[0]);
    let gradients = distance(found[1], expected[1]);
    println!("{format:?}: features {features:.1e}, gradients {gradients:.1e}");
    assert!(features > 1e-5, "this is not computed in {format:?}");
    assert!(features <= tolerance.features, "{format:?}: features deviate by {features:.1e}");
    assert!(gradients <= tolerance.gradients, "{format:?}: gradients deviate by {gradients:.1e}");
}

#[test]
fn sixteen_bits_stay_near_thirty_two() {
    for model in devices().iter().flat_map(|device| [Model::vit(device), Model::resnet(device)]) {
        let single = model.pass(1.0);
        for (format, tolerance) in model.formats() {
            let half = model.computing_in(format).pass(1.0);
            assert_near(format, [&half.0, &half.1], [&single.0, &single.1], tolerance);
        }
    }
}

#[test]
fn thirty_two_bits_are_the_model_as_it_was() {
    for model in devices().iter().flat_map(|device| [Model::vit(device), Model::resnet(device)]) {
        let there_and_back = model.computing_in(Precision::Bf16).computing_in(Precision::F32);
        assert_eq!(there_and_back.pass(1.0), model.pass(1.0));
    }
}

#[test]
fn small_gradients_survive() {
    // Below the smallest f16, 6e-8: without a scale inside the towers most gradients would be 0.
    const SMALL: f64 = 1e-8;
    for model in devices().iter().flat_map(|device| [Model::vit(device), Model::resnet(device)]) {
        let (_, single) = model.pass(SMALL);
        for (format, _) in model.formats() {
            let (_, half) = model.computing_in(format).pass(SMALL);
            let found = distance(&half, &single);
            // Only the kernels of the CPU sum the products of a convolution in f32; found on wgpu was 0.35.
            let allowed = if has_kernels(&model.clip.device()) { 0.25 } else { 0.5 };
            println!("{format:?}: {found:.1e} of {allowed}");
            assert!(found < allowed, "{format:?}: {found:.1e}");
        }
    }
}

/// Whether the device takes the kernels of `regulus-kernels`.
fn has_kernels(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return device.clone().inner() == Device::flex();
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}

#[test]
fn prompts_enter_in_f32() {
    for device in devices() {
        let model = Model::vit(&device);
        let pass = |model: &Model| {
            let prompt =
                |width, value: f32| Tensor::full([1, width], value, &device).autodiff().require_grad();
            let image = [prompt(12, 0.2), prompt(12, -0.1)];
            let text = [prompt(8, 0.3), prompt(8, 0.1)];
            let injection = Injection::none().image_prompts(image.to_vec()).text_prompts(text.to_vec());
            // With a word more, in whose place the prompt stands.
            let texts: Vec<Vec<u32>> =
                model.texts.iter().map(|ids| [&ids[..1], &[1], &ids[1..]].concat()).collect();
            let images = model.clip.encode_image(model.pixels.clone(), &injection);
            let texts = model.clip.encode_text(&texts, &injection);
            let mut gradients = (images.clone().sum() + texts.sum()).backward();
            let reached = image.iter().chain(&text).map(|leaf| leaf.grad_remove(&mut gradients).unwrap());
            let gradients: Vec<f32> = reached.flat_map(|gradient| values(&gradient)).collect();
            (values(&images.inner()), gradients)
        };
        let single = pass(&model);
        for (format, tolerance) in model.formats() {
            let half = pass(&model.computing_in(format));
            assert_near(format, [&half.0, &half.1], [&single.0, &single.1], tolerance);
        }
    }
}

#[test]
fn intermediate_results_are_shown_in_f32() {
    for device in devices() {
        let model = Model::vit(&device);
        for (format, _) in model.formats() {
            let ImageTower::Vit(vit) = model.computing_in(format).clip.visual else { panic!("a ViT") };
            let states = vit.hidden_states(model.pixels.clone(), &Injection::none());
            assert!(states.blocks.iter().all(|block| block.dtype() == model.pixels.dtype()));
            let features =
                vit.project(vit.pooled(model.pixels.clone(), &Injection::none()), &Injection::none());
            assert_eq!(values(&states.features), values(&features));
        }
    }
}
