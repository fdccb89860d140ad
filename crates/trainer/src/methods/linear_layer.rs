//! A trained linear layer beside or on top of a model: CoCoOp's meta-net, MaPLe's coupling, the promptless head, and
//! classifier and projection of a fine-tuned encoder are made of these.

use burn::tensor::{Device, Tensor};
use regulus_images::random::Stream;

use crate::parameters::Parameters;

/// `x W^T + b` with the leaves `<name>.weight` `[outputs, inputs]` and `<name>.bias` `[outputs]`.
#[derive(Debug, Clone)]
pub(super) struct LinearLayer {
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
}

impl LinearLayer {
    /// Whether a parameter of this name belongs to the layer.
    pub(super) fn owns(&self, name: &str) -> bool {
        name.strip_prefix(self.name.as_str()).is_some_and(|part| part.starts_with('.'))
    }

    fn leaf(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }

    /// Adds weight and bias, uniform in `±1/sqrt(inputs)` as PyTorch's `nn.Linear` starts.
    pub(super) fn add_to(&self, parameters: &mut Parameters, seed: u64, device: &Device) {
        let bound = 1.0 / (self.inputs.max(1) as f64).sqrt();
        for (part, shape) in [("weight", vec![self.outputs, self.inputs]), ("bias", vec![self.outputs])] {
            let name = self.leaf(part);
            let mut stream = Stream::new(seed, &format!("init/{name}"), 0, 0);
            let count: usize = shape.iter().product();
            let values = (0..count).map(|_| stream.range(-bound, bound) as f32).collect();
            parameters.insert_values(name, values, shape, device);
        }
    }

    /// Adds the weight from a normal distribution around 0, and a bias of 0.
    pub(super) fn add_normal(&self, parameters: &mut Parameters, deviation: f64, seed: u64, device: &Device) {
        let name = self.leaf("weight");
        let mut stream = Stream::new(seed, &format!("init/{name}"), 0, 0);
        let weights = (0..self.outputs * self.inputs).map(|_| (deviation * stream.normal()) as f32);
        parameters.insert_values(name, weights.collect(), vec![self.outputs, self.inputs], device);
        parameters.insert_values(self.leaf("bias"), vec![0.0; self.outputs], vec![self.outputs], device);
    }

    /// # Shapes
    /// - `x`: `[rows, inputs]`
    /// - output: `[rows, outputs]`
    pub(super) fn forward(&self, parameters: &Parameters, x: Tensor<2>) -> Tensor<2> {
        let weight: Tensor<2> = parameters[self.leaf("weight").as_str()].tensor();
        let bias: Tensor<1> = parameters[self.leaf("bias").as_str()].tensor();
        x.matmul(weight.transpose()) + bias.unsqueeze::<2>()
    }
}
