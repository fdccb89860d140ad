//! What is tested: operations at sizes that fill no vector register evenly, and on which devices.

use burn::tensor::{Device, Tensor, TensorData};
use regulus_kernels::{
    AttentionMask, Gelu, add_linear, attention, gelu_erf, gelu_tanh, layer_norm, linear, linear_gelu,
    log_softmax, quick_gelu, reference,
};

/// The epsilon of every layer normalisation here.
pub const EPS: f64 = 1e-5;

#[derive(Debug, Clone, Copy)]
pub enum Operation {
    Linear {
        out: usize,
    },
    /// The input and a linear layer of it, summed.
    AddLinear,
    LinearGelu {
        out: usize,
        gelu: Gelu,
    },
    LogSoftmax,
    LayerNorm,
    QuickGelu,
    GeluErf,
    GeluTanh,
    Attention {
        heads: usize,
        causal: bool,
    },
}

/// An operation at one size.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub operation: Operation,
    pub batch: usize,
    pub tokens: usize,
    pub width: usize,
    /// Whether a linear layer has a bias.
    pub bias: bool,
}

/// Every operation at every size.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (batch, tokens) in [(1, 1), (3, 7), (2, 17), (2, 77), (1, 197)] {
        for (width, heads) in [(8, 2), (20, 4), (96, 3), (128, 2)] {
            let operations = [
                Operation::Linear { out: width + 5 },
                Operation::AddLinear,
                Operation::LinearGelu { out: width + 5, gelu: Gelu::Quick },
                Operation::LinearGelu { out: width + 5, gelu: Gelu::Erf },
                Operation::LinearGelu { out: width + 5, gelu: Gelu::Tanh },
                Operation::LogSoftmax,
                Operation::LayerNorm,
                Operation::QuickGelu,
                Operation::GeluErf,
                Operation::GeluTanh,
                Operation::Attention { heads, causal: false },
                Operation::Attention { heads, causal: true },
            ];
            let case = |operation| Case { operation, batch, tokens, width, bias: true };
            cases.extend(operations.map(case));
            cases.push(Case { bias: false, ..case(Operation::Linear { out: width + 5 }) });
        }
    }
    cases
}

impl Case {
    /// The shapes of the inputs.
    pub fn shapes(&self) -> Vec<Vec<usize>> {
        let Self { batch, tokens, width, .. } = *self;
        let x = vec![batch, tokens, width];
        match self.operation {
            Operation::Linear { out } if self.bias => vec![x, vec![out, width], vec![out]],
            Operation::Linear { out } => vec![x, vec![out, width]],
            Operation::LinearGelu { out, .. } => vec![x, vec![out, width], vec![out]],
            Operation::AddLinear => vec![x, vec![width, width], vec![width]],
            Operation::LayerNorm => vec![x, vec![width], vec![width]],
            Operation::Attention { .. } => vec![vec![batch, tokens, 3 * width]],
            Operation::LogSoftmax | Operation::QuickGelu | Operation::GeluErf | Operation::GeluTanh => {
                vec![x]
            }
        }
    }

    /// Values of the inputs, most within [-4, 4].
    pub fn inputs(&self) -> Vec<Vec<f32>> {
        let scale = |index| if index == 0 { 4.0 } else { 1.0 };
        let shapes = self.shapes().into_iter().enumerate();
        shapes
            .map(|(index, shape)| {
                let count = shape.iter().product();
                noise(count, index as u64).into_iter().map(|value| value * scale(index)).collect()
            })
            .collect()
    }

    /// The result that `apply` makes of the inputs on flex, and all their gradients.
    #[cfg(feature = "flex")]
    pub fn differentiated(
        &self,
        inputs: &[Vec<f32>],
        apply: impl FnOnce(&Inputs) -> Tensor<3>,
    ) -> Vec<Vec<f32>> {
        let device = Device::flex().autodiff();
        let inputs = Inputs::new(self, inputs, &device).require_grad();
        let result = apply(&inputs);
        let cotangent = TensorData::new(noise(result.shape().num_elements(), 99), result.shape());
        let gradients = (result.clone() * Tensor::from_data(cotangent, &device)).sum().backward();
        let x = inputs.x.grad(&gradients).map(values);
        let matrix = inputs.matrix.iter().map(|matrix| matrix.grad(&gradients).map(values));
        let vectors = inputs.vectors.iter().map(|vector| vector.grad(&gradients).map(values));
        let gradients = [x].into_iter().chain(matrix).chain(vectors).map(Option::unwrap);
        [values(result)].into_iter().chain(gradients).collect()
    }

    /// Applies the operation, fused or plain.
    pub fn apply(&self, inputs: &Inputs, path: Path) -> Tensor<3> {
        let x = inputs.x.clone();
        let bias = inputs.vectors.last().cloned();
        let fused = matches!(path, Path::Fused);
        match (self.operation, &inputs.matrix, inputs.vectors.as_slice()) {
            (Operation::Linear { .. }, Some(weight), _) => {
                (if fused { linear } else { reference::linear })(x, weight.clone(), bias)
            }
            (Operation::AddLinear, Some(weight), [bias]) => {
                let add_linear = if fused { add_linear } else { reference::add_linear };
                add_linear(x.clone(), x, weight.clone(), bias.clone())
            }
            (Operation::LinearGelu { gelu, .. }, Some(weight), [bias]) => {
                let linear_gelu = if fused { linear_gelu } else { reference::linear_gelu };
                linear_gelu(x, weight.clone(), bias.clone(), gelu)
            }
            (Operation::LogSoftmax, ..) => (if fused { log_softmax } else { reference::log_softmax })(x),
            (Operation::LayerNorm, _, [weight, bias]) => {
                let layer_norm = if fused { layer_norm } else { reference::layer_norm };
                layer_norm(x, weight.clone(), bias.clone(), EPS)
            }
            (Operation::QuickGelu, ..) => (if fused { quick_gelu } else { reference::quick_gelu })(x),
            (Operation::GeluErf, ..) => (if fused { gelu_erf } else { reference::gelu_erf })(x),
            (Operation::GeluTanh, ..) => (if fused { gelu_tanh } else { reference::gelu_tanh })(x),
            (Operation::Attention { heads, causal }, ..) => {
                let mask = if causal { AttentionMask::Causal } else { AttentionMask::Full };
                (if fused { attention } else { reference::attention })(x, heads, mask)
            }
            _ => panic!("the inputs do not belong to {self:?}"),
        }
    }
}

/// Which implementation runs. On devices other than flex both are the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Path {
    Fused,
    Plain,
}

/// The inputs of an operation on a device.
#[derive(Clone)]
pub struct Inputs {
    pub x: Tensor<3>,
    pub matrix: Option<Tensor<2>>,
    pub vectors: Vec<Tensor<1>>,
}

impl Inputs {
    pub fn new(case: &Case, values: &[Vec<f32>], device: &Device) -> Self {
        let mut data =
            values.iter().cloned().zip(case.shapes()).map(|(values, shape)| TensorData::new(values, shape));
        let x = Tensor::from_data(data.next().unwrap(), device);
        let (matrices, vectors): (Vec<_>, Vec<_>) = data.partition(|data| data.shape().num_dims() == 2);
        let matrix = matrices.into_iter().next().map(|data| Tensor::from_data(data, device));
        let vectors = vectors.into_iter().map(|data| Tensor::from_data(data, device)).collect();
        Self { x, matrix, vectors }
    }

    /// All of them tracked.
    pub fn require_grad(self) -> Self {
        Self {
            x: self.x.require_grad(),
            matrix: self.matrix.map(Tensor::require_grad),
            vectors: self.vectors.into_iter().map(Tensor::require_grad).collect(),
        }
    }
}

/// Reproducible values in [-1, 1).
pub fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The devices named in `REGULUS_TEST_DEVICES`, separated by commas; flex by default.
pub fn devices() -> Vec<Device> {
    let names = std::env::var("REGULUS_TEST_DEVICES").unwrap_or_else(|_| "flex".to_owned());
    names
        .split(',')
        .map(|name| match name {
            #[cfg(feature = "flex")]
            "flex" => Device::flex(),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated, reason = "Burn keeps ndarray for now; parity is tested while it does")]
            "ndarray" => Device::ndarray(),
            #[cfg(feature = "wgpu")]
            "wgpu" => Device::wgpu(burn::tensor::DeviceKind::default()),
            #[cfg(feature = "cuda")]
            "cuda" => Device::cuda(burn::tensor::DeviceIndex::Default),
            _ => panic!("no test device `{name}` in this build"),
        })
        .collect()
}

/// The values of a tensor.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// The largest difference, relative to the largest expected magnitude or to 1 if that is smaller.
pub fn distance(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
    let differences = got.iter().zip(expected).map(|(&got, expected)| (f64::from(got) - expected).abs());
    differences
        .map(|difference| if difference.is_nan() { f64::INFINITY } else { difference })
        .fold(0.0, f64::max)
        / scale
}
