//! The promptless head: a small network on the image features that knows nothing of the classes' names.
//!
//! `cls_head` of the official ProReg code (`vilt/modules/vilt_module.py`, `objectives.py` `init_weights`): Linear to
//! twice the width, LayerNorm, GELU, Linear to the classes.

use burn::tensor::{Device, Tensor, activation, module};

use super::linear_layer::LinearLayer;
use crate::parameters::Parameters;

/// What all names of the head begin with, as in the official code; the layers are numbered 0, 1 and 3.
pub(super) const PREFIX: &str = "cls_head.";

const NORM_WEIGHT: &str = "cls_head.1.weight";
const NORM_BIAS: &str = "cls_head.1.bias";

/// Standard deviation of the initial weights of the linear layers; their biases start at 0.
const DEVIATION: f64 = 0.02;

/// PyTorch's default epsilon of `nn.LayerNorm`.
const EPSILON: f64 = 1e-5;

/// The layers for features of one width and a number of classes.
#[derive(Debug, Clone)]
pub(super) struct PromptlessHead {
    first: LinearLayer,
    last: LinearLayer,
}

impl PromptlessHead {
    pub(super) fn new(embed: usize, classes: usize) -> Self {
        let layer = |number: usize, inputs, outputs| LinearLayer {
            name: format!("{PREFIX}{number}"),
            inputs,
            outputs,
        };
        Self { first: layer(0, embed, 2 * embed), last: layer(3, 2 * embed, classes) }
    }

    /// Adds all layers with their initial values.
    pub(super) fn add_to(&self, parameters: &mut Parameters, seed: u64, device: &Device) {
        let width = self.first.outputs;
        self.first.add_normal(parameters, DEVIATION, seed, device);
        parameters.insert_values(NORM_WEIGHT, vec![1.0; width], vec![width], device);
        parameters.insert_values(NORM_BIAS, vec![0.0; width], vec![width], device);
        self.last.add_normal(parameters, DEVIATION, seed, device);
    }

    /// # Shapes
    /// - `features`: raw image features, `[batch, embed]`
    /// - output: logits, `[batch, classes]`
    pub(super) fn logits(&self, parameters: &Parameters, features: Tensor<2>) -> Tensor<2> {
        let leaf = |name: &str| parameters[name].value.clone();
        let hidden = self.first.forward(parameters, features);
        let hidden = module::layer_norm(hidden, leaf(NORM_WEIGHT), Some(leaf(NORM_BIAS)), EPSILON);
        self.last.forward(parameters, activation::gelu(hidden))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::device;
    use statrs::function::erf::erf;

    fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
        tensor.into_data_as::<f32>().iter::<f32>().map(f64::from).collect()
    }

    fn affine(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let rows = weight.chunks(x.len()).zip(bias);
        rows.map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
    }

    #[test]
    fn logits_by_hand() {
        let device = device();
        let head = PromptlessHead::new(2, 3);
        let mut parameters = Parameters::default();
        head.add_to(&mut parameters, 1, &device);
        // Other values than the initial ones, so that every weight and bias counts.
        let parameters = parameters.map(|_, leaf| {
            let count: usize = leaf.shape.iter().product();
            let values: Vec<f32> =
                (0..count).map(|index| ((index * 7 + count) % 11) as f32 / 5.0 - 1.0).collect();
            Tensor::from_data(values.as_slice(), &device)
        });
        let leaf = |name: &str| host(parameters[name].value.clone());
        let features = [[0.5, -2.0], [3.0, 1.0]];
        for x in features {
            let hidden = affine(&x, &leaf("cls_head.0.weight"), &leaf("cls_head.0.bias"));
            let mean = hidden.iter().sum::<f64>() / 4.0;
            let variance = hidden.iter().map(|h| (h - mean).powi(2)).sum::<f64>() / 4.0;
            let normal = hidden.iter().map(|h| (h - mean) / (variance + 1e-5).sqrt());
            let scaled = normal.zip(leaf("cls_head.1.weight")).zip(leaf("cls_head.1.bias"));
            let active = scaled.map(|((h, weight), bias)| {
                let h = h * weight + bias;
                h * 0.5 * (1.0 + erf(h / std::f64::consts::SQRT_2))
            });
            let active: Vec<f64> = active.collect();
            let expected = affine(&active, &leaf("cls_head.3.weight"), &leaf("cls_head.3.bias"));
            let single = [x[0] as f32, x[1] as f32];
            let found = host(head.logits(&parameters, Tensor::from_data([single], &device)));
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5, "{found} against {expected}");
            }
        }
    }

    #[test]
    fn it_starts_as_published() {
        let mut parameters = Parameters::default();
        PromptlessHead::new(32, 10).add_to(&mut parameters, 3, &device());
        let shapes: Vec<(&str, &[usize])> =
            parameters.iter().map(|(name, leaf)| (name.as_str(), leaf.shape.as_slice())).collect();
        let expected: [(&str, &[usize]); 6] = [
            ("cls_head.0.bias", &[64]),
            ("cls_head.0.weight", &[64, 32]),
            ("cls_head.1.bias", &[64]),
            ("cls_head.1.weight", &[64]),
            ("cls_head.3.bias", &[10]),
            ("cls_head.3.weight", &[10, 64]),
        ];
        assert_eq!(shapes, expected);
        for (name, leaf) in parameters.iter() {
            let values = host(leaf.value.clone());
            match name.as_str() {
                "cls_head.1.weight" => assert!(values.iter().all(|value| *value == 1.0)),
                name if name.ends_with("bias") => assert!(values.iter().all(|value| *value == 0.0)),
                _ => {
                    let deviation = (values.iter().map(|w| w * w).sum::<f64>() / values.len() as f64).sqrt();
                    assert!((deviation / 0.02 - 1.0).abs() < 0.1, "{name}: {deviation}");
                }
            }
        }
    }
}
