//! The number format that the towers compute in.
//!
//! In 16 bit, only the repeated part of a tower does: the blocks of a transformer, the convolutions of a residual
//! network. Weights are stored in f32 and rounded when they are read. What comes before and after (embeddings,
//! pooling, projection) and what is delicate inside (normalisation, softmax) stays in f32. Gradients flow back the same
//! way and reach the stored weights in f32.

use burn::tensor::{Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

/// A number format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits; more precisely the format of the stored weights, which is this one.
    #[default]
    F32,
    /// 16 bits, 8 of them for the fraction: the range of f32, 2 to 3 decimal places.
    Bf16,
    /// 16 bits, 11 of them for the fraction: 3 to 4 decimal places, and a range from 6e-8 to 65504. Inside the towers,
    /// gradients are 128 times as large, so that fewer of the small ones are lost; above 512 they overflow.
    F16,
}

/// By how much gradients are enlarged where they are f16: a power of 2, which costs no precision.
const GRADIENT_SCALE: f64 = 128.0;

impl Precision {
    /// As recipes write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// Whether `device` stores and computes numbers in this format.
    pub fn is_supported_by(self, device: &Device) -> bool {
        self.format().is_none_or(|format| device.supports_dtype(format))
    }

    /// The format of the numbers; `None` for that of the stored weights.
    fn format(self) -> Option<FloatDType> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(FloatDType::BF16),
            Self::F16 => Some(FloatDType::F16),
        }
    }

    /// Takes f32 values to where this format is used.
    pub(crate) fn enter<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        self.narrow(self.beside(x))
    }

    /// Takes values back to f32.
    pub(crate) fn leave<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::F32 | Self::Bf16 => self.widen(x),
            Self::F16 => with_gradient_scaled(self.widen(x), GRADIENT_SCALE),
        }
    }

    /// f32 values that stay so for an operation between [`Self::widen`] and [`Self::narrow`].
    pub(crate) fn beside<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::F32 | Self::Bf16 => x,
            Self::F16 => with_gradient_scaled(x, GRADIENT_SCALE.recip()),
        }
    }

    /// Values of this format as f32, for one operation.
    pub(crate) fn widen<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self.format() {
            Some(_) => x.cast(FloatDType::F32),
            None => x,
        }
    }

    /// The result of that operation in this format.
    pub(crate) fn narrow<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self.format() {
            Some(format) => x.cast(format),
            None => x,
        }
    }
}

/// The same values; the gradient that they receive is multiplied by `factor`.
fn with_gradient_scaled<const D: usize>(x: Tensor<D>, factor: f64) -> Tensor<D> {
    if !x.is_autodiff() {
        return x;
    }
    let scaled = x.clone() * factor;
    x.detach() + (scaled.clone() - scaled.detach())
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn only_the_gradient_is_scaled() {
        let device = Device::flex();
        let x = Tensor::<1>::from_floats([0.1, -3.7e8, 65504.0], &device).autodiff().require_grad();
        let scaled = with_gradient_scaled(x.clone(), GRADIENT_SCALE);
        assert_eq!(scaled.clone().inner().to_data(), x.clone().inner().to_data());
        let mut gradients = (scaled * 3.0).sum().backward();
        let gradient: Vec<f32> = x
            .grad_remove(&mut gradients)
            .into_iter()
            .flat_map(|x| x.try_into_vec_as().ok())
            .flatten()
            .collect();
        assert_eq!(gradient, [384.0; 3]);
    }

    #[test]
    fn formats_are_named_as_recipes_write_them() {
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            let written = serde_json::to_value(precision).ok();
            assert_eq!(written, Some(serde_json::Value::from(precision.name())));
        }
    }
}
