//! Recorded inputs and outputs of the official code: reading them, and comparing with them.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use regulus_kernels::computes_in_f64;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// A recorded file: tensors, and what they mean.
pub struct Recorded {
    tensors: SafeTensors<'static>,
    /// The entries of the document's list of cases.
    pub cases: Vec<Value>,
}

impl Recorded {
    pub fn new(document: &str, tensors: &'static [u8]) -> Self {
        let document: Value = serde_json::from_str(document).unwrap();
        let cases = document["cases"].as_array().unwrap().clone();
        Self { tensors: SafeTensors::deserialize(tensors).unwrap(), cases }
    }

    /// The values of a tensor, and its shape.
    pub fn read(&self, name: &str) -> (Vec<f64>, Vec<usize>) {
        let view = self.tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
            other => panic!("{name} has type {other:?}"),
        };
        (values, view.shape().to_vec())
    }

    pub fn values(&self, name: &str) -> Vec<f64> {
        self.read(name).0
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    pub fn tensor<const D: usize>(&self, name: &str, (device, dtype): (&Device, DType)) -> Tensor<D> {
        let (values, shape) = self.read(name);
        Tensor::from_data(TensorData::new(values, shape), (device, dtype))
    }

    pub fn labels(&self, name: &str, device: &Device) -> Tensor<1, Int> {
        let labels: Vec<i64> = self.values(name).into_iter().map(|label| label as i64).collect();
        Tensor::from_data(labels.as_slice(), device)
    }
}

/// How far a value may be from the recorded one: `absolute + relative · |recorded|`.
#[derive(Clone, Copy)]
pub struct Tolerance {
    pub absolute: f64,
    pub relative: f64,
}

impl Tolerance {
    /// Twice as much on devices that do not compute in f64: the logarithms of Mesa's Vulkan driver are up to 3e-6 off,
    /// relative to the result (measured at 1000).
    pub fn on(self, device: &Device) -> Self {
        let times = if computes_in_f64(device) { 1.0 } else { 2.0 };
        Self { absolute: times * self.absolute, relative: times * self.relative }
    }
}

pub const EXACTLY: Tolerance = Tolerance { absolute: 0.0, relative: 0.0 };

/// Of losses.
pub const LOSS: Tolerance = Tolerance { absolute: 0.0, relative: 2e-6 };

/// Of gradients, and of other values of the order of 1.
pub const GRADIENT: Tolerance = Tolerance { absolute: 1e-6, relative: 0.0 };

/// Of gradients in f32 through logits of up to a hundred, which a rounding moves by 4e-6. PyTorch's own f32 is
/// up to 2.4e-6 of `max(1, |gradient|)` away from the recorded values, this crate up to 2.1e-6.
const GRADIENT_OF_LARGE_LOGITS: Tolerance = Tolerance { absolute: 2e-6, relative: 2e-6 };

/// Of losses in f64, which are recorded in f64.
const DOUBLE_LOSS: Tolerance = Tolerance { absolute: 1e-14, relative: 1e-13 };

/// Of gradients in f64. They are recorded in f32, and Burn's gradient of a division by a number takes its
/// reciprocal in f32.
const DOUBLE_GRADIENT: Tolerance = Tolerance { absolute: 1e-9, relative: 2e-7 };

/// Of gradients that are computed in f64 or, through logits of up to a hundred, in f32.
pub fn gradient_of_large_logits(dtype: DType) -> Tolerance {
    if dtype == DType::F64 { DOUBLE_GRADIENT } else { GRADIENT_OF_LARGE_LOGITS }
}

impl Recorded {
    /// Of losses in this precision. Where the official code's own f32 was recorded beside `reference`, five
    /// times its error is allowed on top of [`LOSS`]: a loss near 0 is a difference of large logits.
    pub fn loss_tolerance(&self, reference: &str, dtype: DType) -> Tolerance {
        if dtype == DType::F64 {
            return DOUBLE_LOSS;
        }
        let error = self.values(reference)[0] - self.values(&format!("{reference}_f32"))[0];
        Tolerance { absolute: 5.0 * error.abs(), ..LOSS }
    }
}

pub fn assert_close(what: &str, got: &[f64], expected: &[f64], tolerance: Tolerance) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        let allowed = tolerance.absolute + tolerance.relative * expected.abs();
        assert!((got - expected).abs() <= allowed, "{what}: {got} instead of {expected}");
    }
}
