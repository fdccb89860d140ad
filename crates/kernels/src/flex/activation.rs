//! The GELU variants in one pass each way. The backward pass recomputes the exponential from the input.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use burn::backend::flex::FlexTensor;

use super::{Operation, changed};
use crate::simd::{exp, multiply_add, polynomial, sigmoid, simd};

/// Values per task.
const CHUNK: usize = 1 << 14;

/// An elementwise activation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Activation {
    QuickGelu,
    GeluErf,
    GeluTanh,
}

impl Operation<1> for Activation {
    type Saved = Option<FlexTensor>;

    fn forward(self, [x]: [FlexTensor; 1], [tracked]: [bool; 1]) -> (FlexTensor, Self::Saved) {
        let saved = tracked.then(|| x.clone());
        (changed(x, CHUNK, |_, values| self.activate(values)), saved)
    }

    fn backward(self, saved: Self::Saved, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [saved.map(|x| self.differentiated(&x, gradient))]
    }
}

impl Activation {
    /// Puts what the activation makes of each value in its place.
    pub(super) fn activate(self, values: &mut [f32]) {
        match self {
            Self::QuickGelu => quick_gelu(values),
            Self::GeluErf => gelu_erf(values),
            Self::GeluTanh => gelu_tanh(values),
        }
    }

    /// The gradient of `x` from that of the result.
    pub(super) fn differentiated(self, x: &FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let differentiate = match self {
            Self::QuickGelu => quick_gelu_backward,
            Self::GeluErf => gelu_erf_backward,
            Self::GeluTanh => gelu_tanh_backward,
        };
        let x = x.storage::<f32>();
        changed(gradient, CHUNK, |index, gradient| {
            differentiate(gradient, &x[index * CHUNK..][..gradient.len()]);
        })
    }
}

simd! {
    /// `x ← x σ(1.702 x)`.
    fn quick_gelu(values: &mut [f32]) {
        for x in values {
            *x *= sigmoid::<FMA>(1.702 * *x);
        }
    }
}

simd! {
    /// With `s = σ(1.702 x)`: `g ← g (s + 1.702 x s (1 - s))`.
    fn quick_gelu_backward(gradient: &mut [f32], x: &[f32]) {
        for (g, &x) in gradient.iter_mut().zip(x) {
            let s = sigmoid::<FMA>(1.702 * x);
            *g *= multiply_add::<FMA>(1.702 * x, s * (1.0 - s), s);
        }
    }
}

/// `2 √(2/π)` and `0.044715` times that: the tanh approximation is a sigmoid, `(1 + tanh(u)) / 2 = σ(2u)`.
const TANH_LINEAR: f32 = (2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2) as f32;
const TANH_CUBIC: f32 = 0.044_715 * TANH_LINEAR;

/// `2u`, with `u` the argument of the tanh approximation.
#[inline(always)]
fn tanh_argument<const FMA: bool>(x: f32) -> f32 {
    x * multiply_add::<FMA>(x * x, TANH_CUBIC, TANH_LINEAR)
}

simd! {
    /// `x ← x σ(2u)` with `u = √(2/π) (x + 0.044715 x³)`.
    fn gelu_tanh(values: &mut [f32]) {
        for x in values {
            *x *= sigmoid::<FMA>(tanh_argument::<FMA>(*x));
        }
    }
}

simd! {
    /// With `s = σ(2u)`: `g ← g (s + x s (1 - s) 2u')`.
    fn gelu_tanh_backward(gradient: &mut [f32], x: &[f32]) {
        for (g, &x) in gradient.iter_mut().zip(x) {
            let s = sigmoid::<FMA>(tanh_argument::<FMA>(x));
            let slope = multiply_add::<FMA>(x * x, 3.0 * TANH_CUBIC, TANH_LINEAR);
            *g *= multiply_add::<FMA>(x * slope, s * (1.0 - s), s);
        }
    }
}

/// `Φ(x)`, absolute error below 1e-7, and `exp(-x²/2)`.
///
/// `erfc(z) = t p(t) exp(-z²)` with `t = 1/(1 + 0.4 z)` for `z ≥ 0`, the form of Abramowitz and Stegun
/// 7.1.26 with a polynomial fitted to 2.8e-8.
#[inline(always)]
fn normal_distribution<const FMA: bool>(x: f32) -> (f32, f32) {
    const HALF: [f32; 6] =
        [0.115_961_14, 0.080_911_204, 0.234_138_52, -0.185_455_75, 0.354_574_77, -0.100_129_895];
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / multiply_add::<FMA>(z, 0.4, 1.0);
    let bell = exp::<FMA>(-0.5 * x * x);
    let tail = t * polynomial::<FMA, 6>(t, HALF) * bell;
    (if x < 0.0 { tail } else { 1.0 - tail }, bell)
}

simd! {
    /// `x ← x Φ(x)`.
    fn gelu_erf(values: &mut [f32]) {
        for x in values {
            *x *= normal_distribution::<FMA>(*x).0;
        }
    }
}

simd! {
    /// `g ← g (Φ(x) + x exp(-x²/2) / √(2π))`.
    fn gelu_erf_backward(gradient: &mut [f32], x: &[f32]) {
        const FRAC_1_SQRT_TAU: f32 = (0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2) as f32;
        for (g, &x) in gradient.iter_mut().zip(x) {
            let (distribution, bell) = normal_distribution::<FMA>(x);
            *g *= multiply_add::<FMA>(FRAC_1_SQRT_TAU * x, bell, distribution);
        }
    }
}
