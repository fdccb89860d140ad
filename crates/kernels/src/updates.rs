//! Updates of optimisers in one pass: operation by operation they are a dozen passes over parameters and moments.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::{pieces::in_pieces, simd::simd};

/// What weight decay does in an update of [`AdamUpdate`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decay {
    /// Nothing.
    None,
    /// So much of the parameter is added to the gradient.
    InGradient(f32),
    /// The parameter is multiplied by this before it moves.
    Before(f32),
    /// So much of the parameter is taken away after it has moved.
    After(f32),
}

/// `m = keep0 m + add0 g; v = keep1 v + add1 g^2; p -= rate m / (sqrt(v) / correction + epsilon)` (Kingma and Ba 2015).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamUpdate {
    /// What the moments keep of themselves.
    pub keep: [f32; 2],
    /// What they take of the gradient and of its square.
    pub add: [f32; 2],
    /// Learning rate, corrected for the first moment.
    pub rate: f32,
    /// Of the root of the second moment; 1 for none.
    pub correction: f32,
    /// Added to the root.
    pub epsilon: f32,
    /// Weight decay.
    pub decay: Decay,
}

impl AdamUpdate {
    /// The parameter and its moments after the update, of tensors `[n]`.
    ///
    /// # Errors
    /// Gradient and moments unchanged, where they are not plain f32 tensors of the flex backend.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn apply(
        &self,
        parameter: &Tensor<1>,
        gradient_and_moments: [Tensor<1>; 3],
    ) -> Result<[Tensor<1>; 3], Box<[Tensor<1>; 3]>> {
        #[cfg(feature = "flex")]
        return in_pieces(parameter, gradient_and_moments, |parameter, [gradient, first, second]| {
            adam(parameter, gradient, first, second, self);
        })
        .map_err(Box::new);
        #[cfg(not(feature = "flex"))]
        untaken(self, parameter, gradient_and_moments)
    }
}

/// `d = g + decay p; b = keep b + d; p -= rate b`, with Nesterov's momentum `p -= rate (d + keep b)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MomentumUpdate {
    /// Momentum.
    pub keep: f32,
    /// Learning rate.
    pub rate: f32,
    /// Weight decay.
    pub decay: f32,
    /// Whether the momentum is Nesterov's.
    pub nesterov: bool,
}

impl MomentumUpdate {
    /// The parameter and its buffer after the update, of tensors `[n]`.
    ///
    /// # Errors
    /// Gradient and buffer unchanged, where they are not plain f32 tensors of the flex backend.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn apply(
        &self,
        parameter: &Tensor<1>,
        gradient_and_buffer: [Tensor<1>; 2],
    ) -> Result<[Tensor<1>; 2], Box<[Tensor<1>; 2]>> {
        #[cfg(feature = "flex")]
        return in_pieces(parameter, gradient_and_buffer, |parameter, [gradient, buffer]| {
            momentum(parameter, gradient, buffer, *self);
        })
        .map_err(Box::new);
        #[cfg(not(feature = "flex"))]
        untaken(self, parameter, gradient_and_buffer)
    }
}

#[cfg(feature = "flex")]
simd! {
    /// The parameter takes the place of the gradient.
    fn adam(parameter: &[f32], gradient: &mut [f32], first: &mut [f32], second: &mut [f32], update: &AdamUpdate) {
        match update.decay {
            Decay::None => each(parameter, gradient, first, second, update, |g, _| g, |p| p, |p| p),
            Decay::InGradient(decay) => {
                each(parameter, gradient, first, second, update, |g, p| g + p * decay, |p| p, |p| p);
            }
            Decay::Before(factor) => {
                each(parameter, gradient, first, second, update, |g, _| g, |p| p * factor, |p| p);
            }
            Decay::After(decay) => {
                each(parameter, gradient, first, second, update, |g, _| g, |p| p, |p| p - p * decay);
            }
        }
    }
}

#[cfg(feature = "flex")]
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "four tensors and the three places of decay")]
fn each(
    parameter: &[f32],
    gradient: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    update: &AdamUpdate,
    slope: impl Fn(f32, f32) -> f32,
    before: impl Fn(f32) -> f32,
    after: impl Fn(f32) -> f32,
) {
    let AdamUpdate { keep, add, rate, correction, epsilon, .. } = *update;
    for (((&p, g), m), v) in parameter.iter().zip(gradient).zip(first).zip(second) {
        let slope = slope(*g, p);
        *m = *m * keep[0] + slope * add[0];
        *v = *v * keep[1] + slope * slope * add[1];
        *g = after(before(p) - *m / (v.sqrt() / correction + epsilon) * rate);
    }
}

#[cfg(feature = "flex")]
simd! {
    /// The parameter takes the place of the gradient.
    fn momentum(parameter: &[f32], gradient: &mut [f32], buffer: &mut [f32], update: MomentumUpdate) {
        let MomentumUpdate { keep, rate, decay, nesterov } = update;
        for ((&p, g), b) in parameter.iter().zip(gradient).zip(buffer) {
            let direction = if decay == 0.0 { *g } else { *g + p * decay };
            *b = *b * keep + direction;
            let way = if nesterov { direction + *b * keep } else { *b };
            *g = p - way * rate;
        }
    }
}

#[cfg(not(feature = "flex"))]
fn untaken<U, const N: usize>(
    _: &U,
    _: &Tensor<1>,
    written: [Tensor<1>; N],
) -> Result<[Tensor<1>; N], Box<[Tensor<1>; N]>> {
    Err(Box::new(written))
}
