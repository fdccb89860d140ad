//! Masked weights in one pass over weight and mask each way.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::Operation;
use super::memory::Buffer;
use crate::parallel;
use crate::simd::simd;

/// Entries per task.
const CHUNK: usize = 1 << 16;

/// `[mask > threshold] weight` of two tensors `[n]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Masked {
    pub(crate) threshold: f32,
}

impl Operation<2> for Masked {
    /// The weight for the gradient of the mask, and the mask for that of the weight.
    type Saved = [Option<FlexTensor>; 2];

    fn forward(self, [weight, mask]: [FlexTensor; 2], tracked: [bool; 2]) -> (FlexTensor, Self::Saved) {
        let result = combined(&weight, &mask, |out, weight, mask| kept(out, weight, mask, self.threshold));
        let [weight_tracked, mask_tracked] = tracked;
        (result, [mask_tracked.then_some(weight), weight_tracked.then_some(mask)])
    }

    fn backward(
        self,
        [weight, mask]: Self::Saved,
        gradient: FlexTensor,
        [weight_tracked, mask_tracked]: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let of_weight = mask.filter(|_| weight_tracked).map(|mask| {
            combined(&gradient, &mask, |out, gradient, mask| kept(out, gradient, mask, self.threshold))
        });
        let of_mask = weight.filter(|_| mask_tracked).map(|weight| combined(&gradient, &weight, multiplied));
        [of_weight, of_mask]
    }
}

/// `work(out, a, b)` on pieces of two tensors of one length.
fn combined(
    a: &FlexTensor,
    b: &FlexTensor,
    work: impl Fn(&mut [f32], &[f32], &[f32]) + Sync + Send,
) -> FlexTensor {
    let [length] = a.shape().dims();
    let mut result = Buffer::of(length);
    let (a, b) = (a.storage::<f32>().chunks(CHUNK), b.storage::<f32>().chunks(CHUNK));
    parallel::run(result.chunks_mut(CHUNK).zip(a).zip(b), || (), |_, ((out, a), b)| work(out, a, b));
    result.into_tensor([length])
}

simd! {
    /// `values` where the mask is above the threshold, 0 elsewhere.
    fn kept(out: &mut [f32], values: &[f32], mask: &[f32], threshold: f32) {
        for ((out, &value), &mask) in out.iter_mut().zip(values).zip(mask) {
            *out = if mask > threshold { value } else { 0.0 };
        }
    }
}

simd! {
    /// Multiplies values by others.
    pub(super) fn multiply(values: &mut [f32], by: &[f32]) {
        for (value, &by) in values.iter_mut().zip(by) {
            *value *= by;
        }
    }
}

simd! {
    fn multiplied(out: &mut [f32], a: &[f32], b: &[f32]) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = a * b;
        }
    }
}
