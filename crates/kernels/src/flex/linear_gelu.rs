//! A linear layer and the GELU behind it. Sums are activated block by block, while they are in the cache.

use std::sync::{Mutex, PoisonError};

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use regulus_matrix::Precision;

use super::linear::{Besides, Linear, Saved as OfLinear, column_sums};
use super::memory::Buffer;
use super::{Activation, Operation};

/// The activation of `x weightᵀ + bias` of `[.., in]`, `[out, in]` and `[out]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinearGelu {
    pub(crate) precision: Precision,
    pub(crate) activation: Activation,
}

/// What the layer keeps, and what the activation was given, if anything is tracked.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    layer: OfLinear,
    sums: Option<FlexTensor>,
}

impl Operation<3> for LinearGelu {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 3], tracked: [bool; 3]) -> (FlexTensor, Saved) {
        let ([x, weight, bias], [x_tracked, weight_tracked, _]) = (inputs, tracked);
        let ([batch, tokens, _], [out, _]) = (x.shape().dims(), weight.shape().dims());
        let mut sums = tracked.contains(&true).then(|| Buffer::of(batch * tokens * out));
        // Stretches of a row may come from several threads.
        let rows: Option<Vec<_>> = sums.as_mut().map(|sums| sums.chunks_mut(out).map(Mutex::new).collect());
        let activate = |row: usize, first: usize, values: &mut [f32]| {
            if let Some(rows) = &rows {
                let mut row = rows[row].lock().unwrap_or_else(PoisonError::into_inner);
                row[first..][..values.len()].copy_from_slice(values);
            }
            self.activation.activate(values);
        };
        let besides = Besides { bias: Some(&bias), then: Some(&activate), ..Besides::default() };
        let (result, layer) = self.linear().apply(x, weight, besides, [x_tracked, weight_tracked]);
        drop(rows);
        let sums = sums.map(|sums| sums.into_tensor([batch, tokens, out]));
        (result, Saved { layer, sums })
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let [x_tracked, weight_tracked, bias_tracked] = tracked;
        let Saved { layer, sums } = saved;
        let Some(sums) = sums else { return [None, None, None] };
        let gradient = self.activation.differentiated(&sums, gradient);
        drop(sums);
        let [x, weight] = self.linear().gradients(&layer, &gradient, [x_tracked, weight_tracked]);
        [x, weight, bias_tracked.then(|| column_sums(&gradient, layer.out))]
    }
}

impl LinearGelu {
    fn linear(self) -> Linear {
        Linear { precision: self.precision }
    }
}
