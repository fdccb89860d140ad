//! Linear layers of which a mask keeps some weights. Zeros are put in where the weight is packed for a product, and the
//! gradient of the mask is finished while it is in the cache.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use regulus_matrix::{Epilogue, Precision};

use super::Operation;
use super::linear::{Besides, Linear, Saved as OfLinear, column_sums};
use super::masked::multiply;
use crate::parallel;

/// Words of bits per task.
const CHUNK: usize = 1 << 10;

/// `x ([mask > threshold] weight)ᵀ + bias` of `[.., in]`, `[out, in]`, `[out, in]` and `[out]`; as an operation of five
/// tensors, plus a residual `[.., out]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaskedLinear {
    pub(crate) precision: Precision,
    pub(crate) threshold: f32,
}

/// What the layer keeps, and of the mask its bits.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    layer: OfLinear,
    bits: Arc<[u64]>,
}

impl Operation<4> for MaskedLinear {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 4], tracked: [bool; 4]) -> (FlexTensor, Saved) {
        let ([x, weight, mask, bias], [x_tracked, weight_tracked, mask_tracked, _]) = (inputs, tracked);
        self.apply([x, weight, mask, bias], None, [x_tracked, weight_tracked, mask_tracked])
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let [x_tracked, weight_tracked, mask_tracked, bias_tracked] = tracked;
        let Saved { layer, bits } = &saved;
        let linear = self.linear();
        let x = x_tracked.then(|| linear.gradient_of_x(layer, Some(bits), &gradient, true)).flatten();
        let of_weight = |epilogue: Epilogue<'_>| linear.gradient_of_weight(layer, &gradient, Some(epilogue));
        let width = layer.width();
        let kept = |row: usize, first: usize, values: &mut [f32]| {
            keep(values, bits, row * width + first);
        };
        let weight = weight_tracked.then(|| of_weight(&kept)).flatten();
        let mask = layer.weight.as_ref().filter(|_| mask_tracked).and_then(|weight| {
            let weight: &[f32] = weight.storage();
            let times_weight = |row: usize, first: usize, values: &mut [f32]| {
                multiply(values, &weight[row * width + first..][..values.len()]);
            };
            of_weight(&times_weight)
        });
        [x, weight, mask, bias_tracked.then(|| column_sums(&gradient, layer.out))]
    }
}

impl Operation<5> for MaskedLinear {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 5], tracked: [bool; 5]) -> (FlexTensor, Saved) {
        let ([x, weight, mask, bias, residual], [x_tracked, weight_tracked, mask_tracked, ..]) =
            (inputs, tracked);
        self.apply([x, weight, mask, bias], Some(residual), [x_tracked, weight_tracked, mask_tracked])
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 5]) -> [Option<FlexTensor>; 5] {
        let [x_tracked, weight_tracked, mask_tracked, bias_tracked, residual_tracked] = tracked;
        let before_sum = [x_tracked, weight_tracked, mask_tracked, bias_tracked];
        let [x, weight, mask, bias] = Operation::<4>::backward(self, saved, gradient.clone(), before_sum);
        [x, weight, mask, bias, residual_tracked.then_some(gradient)]
    }
}

impl MaskedLinear {
    fn linear(self) -> Linear {
        Linear { precision: self.precision }
    }

    fn apply(
        self,
        [x, weight, mask, bias]: [FlexTensor; 4],
        residual: Option<FlexTensor>,
        [x_tracked, weight_tracked, mask_tracked]: [bool; 3],
    ) -> (FlexTensor, Saved) {
        let bits: Arc<[u64]> = bits(mask.storage(), self.threshold).into();
        // The gradient of the mask needs both: its layer's input and the weight.
        let keep = [x_tracked || mask_tracked, weight_tracked || mask_tracked];
        let besides = Besides {
            bits: Some(&bits),
            bias: Some(&bias),
            residual: residual.as_ref(),
            ..Besides::default()
        };
        let (result, layer) = self.linear().apply(x, weight, besides, keep);
        (result, Saved { layer, bits })
    }
}

/// A bit for each value of a mask, 64 to a word, the lowest first: whether it is above the threshold.
fn bits(mask: &[f32], threshold: f32) -> Vec<u64> {
    let mut words = vec![0; mask.len().div_ceil(64)];
    let tasks = words.chunks_mut(CHUNK).zip(mask.chunks(64 * CHUNK));
    parallel::run(tasks, || (), |(), (words, mask)| fill(words, mask, threshold));
    words
}

fn fill(words: &mut [u64], mask: &[f32], threshold: f32) {
    for (word, values) in words.iter_mut().zip(mask.chunks(64)) {
        *word = values.iter().rev().fold(0, |word, &value| word << 1 | u64::from(value > threshold));
    }
}

/// Sets those values to 0 whose bits, from `first` on, are not set.
fn keep(values: &mut [f32], bits: &[u64], first: usize) {
    for (value, bit) in values.iter_mut().zip(first..) {
        if bits[bit / 64] >> (bit % 64) & 1 == 0 {
            *value = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_follow_the_values() {
        let mask: Vec<f32> = (0..130).map(|index| f32::from(u8::from(index % 3 == 0))).collect();
        let bits = bits(&mask, 0.5);
        assert_eq!(bits.len(), 3);
        for (index, &value) in mask.iter().enumerate() {
            assert_eq!(bits[index / 64] >> (index % 64) & 1 == 1, value == 1.0, "{index}");
        }
        assert_eq!(bits[2] >> 2, 0);
        assert_eq!(super::bits(&[0.5, f32::NAN, 0.6], 0.5), [0b100]);
        let mut values = vec![1.0; 70];
        keep(&mut values, &bits, 2);
        assert!(values.iter().zip(&mask[2..]).all(|(value, mask)| value == mask));
    }
}
