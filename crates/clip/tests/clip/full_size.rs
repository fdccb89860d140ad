//! One step of each kind of training through towers of ViT-B/16's size, against the same step in f64.
//!
//! A tower computes in the format of its weights. In f64 every operation is the plain-Burn reference.

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use regulus_clip::{Clip, ClipConfig, EmbeddedTexts, Injection, NamedParameter, Part};
use regulus_images::random::Stream;
use regulus_kernels::{MatmulPrecision, masked_weight, multiplying_in};

use crate::common::values;

/// Largest distance of features and of gradients from f64, relative to the largest magnitude. Found were 8.9e-7 and
/// 1.5e-6, 1.6e-5 and 3.1e-5, 7.9e-3 and 1.8e-2.
const TOLERANCES: [(MatmulPrecision, f32, f32); 3] = [
    (MatmulPrecision::F32, 1e-5, 1e-4),
    (MatmulPrecision::Bf16x3, 4e-5, 1e-4),
    (MatmulPrecision::Bf16, 2e-2, 4e-2),
];

fn noise<const D: usize>(shape: [usize; D], seed: u64, format: FloatDType, device: &Device) -> Tensor<D> {
    let mut stream = Stream::new(seed, "full size", 0, 0);
    let values = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect::<Vec<_>>();
    Tensor::<D>::from_data(TensorData::new(values, shape), device).cast(format)
}

/// What a step trains.
#[derive(Debug, Clone, Copy)]
enum Trained {
    /// All weights of the image tower: full fine-tuning.
    Weights,
    /// Masks of the attention of the image tower.
    Masks,
    /// Prompts in nine layers of both towers.
    Prompts,
}

struct Step {
    clip: Clip,
    device: Device,
}

impl Step {
    fn new() -> Self {
        let device = Device::flex().autodiff();
        Self { clip: Clip::init(&ClipConfig::openai("ViT-B/16").unwrap(), 1, &device).unwrap(), device }
    }

    /// Features of an image and of texts, and the gradients of a weighted sum of them.
    fn run(&self, trained: Trained, format: FloatDType) -> (Vec<f32>, Vec<Vec<f32>>) {
        let mut leaves = Vec::new();
        let mut injection = Injection::none();
        for NamedParameter { path, value, .. } in self.clip.parameters(Part::All) {
            let value = value.cast(format);
            let of_images = path.starts_with("visual.");
            let value = match trained {
                Trained::Weights if of_images => {
                    leaves.push(value.require_grad());
                    leaves[leaves.len() - 1].clone()
                }
                Trained::Masks if of_images && path.contains("attn.") && path.ends_with("weight") => {
                    let mask = noise(value.dims(), leaves.len() as u64, format, &self.device).require_grad();
                    leaves.push(mask.clone());
                    masked_weight(value, mask, -0.5)
                }
                _ => value,
            };
            injection = injection.replace(path, value);
        }
        if let Trained::Prompts = trained {
            let mut prompts = |width: usize| {
                let prompt = |layer: u64| {
                    let leaf = (noise([4 * width], layer, format, &self.device) * 0.02).require_grad();
                    leaves.push(leaf.clone());
                    leaf.reshape([4, width])
                };
                (0..9).map(prompt).collect::<Vec<Tensor<2>>>()
            };
            injection = injection.image_prompts(prompts(768)).text_prompts(prompts(512));
        }
        let pixels = noise([1, 3, 224, 224], 1, format, &self.device);
        let images = self.clip.encode_image(pixels, &injection);
        let texts = noise([6, 12, 512], 2, format, &self.device) * 0.02;
        let texts = EmbeddedTexts::new(texts, vec![11, 7, 9, 8, 11, 6]);
        let texts = self.clip.encode_embedded(&texts, &injection);
        let features = Tensor::cat(vec![images, texts], 0);
        let cotangent = noise(features.dims(), 3, format, &self.device);
        let gradients = (features.clone() * cotangent).sum().backward();
        let of_leaves = leaves.iter().map(|leaf| values(&leaf.grad(&gradients).unwrap())).collect();
        (values(&features), of_leaves)
    }
}

fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs() / largest);
    off.fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
}

#[test]
fn steps_of_full_size_agree_with_f64() {
    let step = Step::new();
    for trained in [Trained::Weights, Trained::Masks, Trained::Prompts] {
        let exact = step.run(trained, FloatDType::F64);
        assert!(!exact.1.is_empty());
        for (matmul, of_features, of_gradients) in TOLERANCES {
            let (features, gradients) = multiplying_in(matmul, || step.run(trained, FloatDType::F32));
            let off = distance(&features, &exact.0);
            let worst = gradients.iter().zip(&exact.1).map(|(a, b)| distance(a, b)).fold(0.0, f32::max);
            println!("{trained:?} in {matmul}: features {off:.1e}, gradients {worst:.1e}");
            assert!(off <= of_features, "{trained:?} in {matmul}: features deviate by {off:e}");
            assert!(worst <= of_gradients, "{trained:?} in {matmul}: gradients deviate by {worst:e}");
        }
    }
}
