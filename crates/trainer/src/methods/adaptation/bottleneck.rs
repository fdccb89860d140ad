//! Two small layers behind the frozen image tower: CLIP-Adapter.
//!
//! Gao et al., "CLIP-Adapter: Better Vision-Language Models with Feature Adapters", IJCV 2024, equations 3 to 6;
//! `clip_adapter.py`: the text side is left alone, as in the released code.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use regulus_clip::normalise;
use regulus_images::random::Stream;

use crate::parameters::Parameters;

/// Names of the layers in the released code.
const DOWN: &str = "fc.0.weight";
const UP: &str = "fc.2.weight";

/// The layers `[embed / reduction, embed]` and `[embed, embed / reduction]`, and the share of what they say.
#[derive(Debug, Clone)]
pub struct Bottleneck {
    ratio: f64,
    start: Parameters,
}

impl Bottleneck {
    /// Layers for features of `embed` values that start as PyTorch's do: uniform within `1 / sqrt(inputs)`.
    /// Published: a `reduction` of 4 and a `ratio` of 0.2.
    pub fn new(embed: usize, reduction: usize, ratio: f64, seed: u64, device: &Device) -> Self {
        let hidden = (embed / reduction.max(1)).max(1);
        let mut start = Parameters::default();
        for (name, rows, columns) in [(DOWN, hidden, embed), (UP, embed, hidden)] {
            let bound = 1.0 / (columns as f64).sqrt();
            let mut stream = Stream::new(seed, &format!("init/{name}"), 0, 0);
            let values = (0..rows * columns).map(|_| stream.range(-bound, bound) as f32).collect();
            start.insert_values(name, values, vec![rows, columns], device);
        }
        Self { ratio, start }
    }

    pub(super) fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    /// `ratio relu(relu(f W1^T) W2^T) + (1 - ratio) f`, scaled to unit length. The layers have no biases, so that the
    /// direction of the result does not depend on the length of `f`.
    ///
    /// # Shapes
    /// - `features`: `[batch, embed]`
    /// - output: as `features`
    pub(super) fn adapted(&self, parameters: &Parameters, features: Tensor<2>) -> Tensor<2> {
        let layer = |name: &str, x: Tensor<2>| relu(x.matmul(parameters[name].tensor::<2>().transpose()));
        let said = layer(UP, layer(DOWN, features.clone()));
        normalise(said * self.ratio + features * (1.0 - self.ratio))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, device, tensor};

    #[test]
    fn the_equation_by_hand() {
        let device = device();
        let bottleneck = Bottleneck::new(2, 2, 0.25, 1, &device);
        let mut parameters = Parameters::default();
        parameters.insert(DOWN, tensor(&[1.0, -2.0], &device), vec![1, 2]);
        parameters.insert(UP, tensor(&[3.0, -1.0], &device), vec![2, 1]);
        // relu(4 - 2) = 2; relu(6), relu(-2) = 6, 0; 0.25 (6, 0) + 0.75 (4, 1) = (4.5, 0.75).
        let adapted =
            bottleneck.adapted(&parameters, Tensor::<2>::from_data([[4.0f32, 1.0], [40.0, 10.0]], &device));
        let length = (4.5f64 * 4.5 + 0.75 * 0.75).sqrt();
        let unit = [(4.5 / length) as f32, (0.75 / length) as f32];
        close(&adapted.reshape([4]), &[unit, unit].concat(), 1e-6);
    }

    #[test]
    fn sizes_are_the_published_ones() {
        let parameters = Bottleneck::new(64, 4, 0.2, 1, &device()).parameters();
        assert_eq!(parameters[DOWN].shape, [16, 64]);
        assert_eq!(parameters[UP].shape, [64, 16]);
        let values = parameters[DOWN].value.to_data_as::<f32>();
        assert!(values.iter::<f32>().all(|value| value.abs() <= 0.125));
    }
}
