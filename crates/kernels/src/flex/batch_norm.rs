//! Batch normalisation with the statistics of the batch, in two passes each way.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::{Input, Operation, changed, contiguous, tensor};
use crate::parallel;
use crate::simd::{multiply_add, simd, sum_pairs};

/// Normalisation of `[batch, channels, ..]` with known statistics of it; weight and bias are `[channels]`.
#[derive(Debug, Clone)]
pub(crate) struct BatchNorm {
    mean: Arc<[f32]>,
    variance: Arc<[f32]>,
    eps: f32,
}

impl BatchNorm {
    /// The normalisation of this batch.
    pub(crate) fn of(x: &Input, eps: f32) -> Self {
        let x = contiguous(x.primitive());
        let layout = Layout::of(&x);
        let x = x.storage::<f32>();
        let statistics = layout.for_channels(|channel| {
            let parts = || layout.parts(x, channel);
            let count = (x.len() / layout.channels) as f64;
            let (mut total, mut squares) = (0.0, 0.0);
            parts().for_each(|values| add_sum(&mut total, values));
            let mean = (total / count) as f32;
            parts().for_each(|values| add_squares(&mut squares, values, mean));
            [mean, (squares / count) as f32]
        });
        let [mean, variance] = [0, 1].map(|index| statistics.iter().map(|pair| pair[index]).collect());
        Self { mean, variance, eps }
    }

    /// Mean and biased variance of each channel.
    pub(crate) fn statistics(&self) -> [Vec<f32>; 2] {
        [self.mean.to_vec(), self.variance.to_vec()]
    }

    fn scale(&self, channel: usize) -> f32 {
        1.0 / (self.variance[channel] + self.eps).sqrt()
    }
}

impl Operation<3> for BatchNorm {
    type Saved = Option<(FlexTensor, FlexTensor)>;

    fn forward(self, inputs: [FlexTensor; 3], tracked: [bool; 3]) -> (FlexTensor, Self::Saved) {
        let [x, weight, bias] = inputs;
        let saved = tracked.contains(&true).then(|| (x.clone(), weight.clone()));
        let layout = Layout::of(&x);
        let (weight, bias) = (weight.storage::<f32>(), bias.storage::<f32>());
        let result = changed(x, layout.length, |index, values| {
            let channel = index % layout.channels;
            let factor = self.scale(channel) * weight[channel];
            normalise(values, self.mean[channel], factor, bias[channel]);
        });
        (result, saved)
    }

    /// With `h` the normalised values of a channel: `dbias = Σ g`, `dweight = Σ g h`,
    /// `dx = weight (g - mean(g) - h mean(g h)) / deviation`.
    fn backward(
        self,
        saved: Self::Saved,
        mut gradient: FlexTensor,
        tracked: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let Some((x, weight)) = saved else { return [None, None, None] };
        let [x_tracked, weight_tracked, bias_tracked] = tracked;
        let layout = Layout::of(&x);
        let (x, weight) = (x.storage::<f32>(), weight.storage::<f32>());
        let sums = {
            let gradient = gradient.storage::<f32>();
            layout.for_channels(|channel| {
                let pairs = || layout.parts(gradient, channel).zip(layout.parts(x, channel));
                let (mut bias, mut along) = (0.0, 0.0);
                for (g, x) in pairs() {
                    add_sum(&mut bias, g);
                    add_products(&mut along, g, x, self.mean[channel]);
                }
                [bias as f32, along as f32 * self.scale(channel)]
            })
        };
        if x_tracked {
            let count = (x.len() / layout.channels) as f32;
            gradient = changed(gradient, layout.length, |index, gradient| {
                let x = &x[index * layout.length..][..gradient.len()];
                let channel = index % layout.channels;
                let (scale, [bias, along]) = (self.scale(channel), sums[channel]);
                let (mean, slope) = (self.mean[channel], along / count * scale);
                differentiate(gradient, x, mean, slope, bias / count, scale * weight[channel]);
            });
        }
        let channels = [layout.channels];
        let of = |index: usize| tensor(sums.iter().map(|sums| sums[index]).collect(), channels);
        [x_tracked.then_some(gradient), weight_tracked.then(|| of(1)), bias_tracked.then(|| of(0))]
    }
}

/// `[batch, channels, length]`.
#[derive(Debug, Clone, Copy)]
struct Layout {
    channels: usize,
    length: usize,
}

impl Layout {
    fn of(x: &FlexTensor) -> Self {
        let shape = x.shape();
        let dims = shape.as_slice();
        Self { channels: dims[1], length: dims[2..].iter().product() }
    }

    /// The values of a channel, sample by sample.
    fn parts(self, values: &[f32], channel: usize) -> impl Iterator<Item = &[f32]> {
        values.chunks(self.length).skip(channel).step_by(self.channels)
    }

    fn for_channels(self, work: impl Fn(usize) -> [f32; 2] + Sync + Send) -> Vec<[f32; 2]> {
        let mut results = vec![[0.0; 2]; self.channels];
        parallel::run(results.iter_mut().enumerate(), || (), |(), (channel, result)| *result = work(channel));
        results
    }
}

simd! {
    fn add_sum(total: &mut f64, values: &[f32]) {
        *total += f64::from(sum_pairs(values, values, |value, _| value));
    }
}

simd! {
    /// Adds `Σ (x - mean)²`.
    fn add_squares(total: &mut f64, values: &[f32], mean: f32) {
        *total += f64::from(sum_pairs(values, values, |value, _| (value - mean) * (value - mean)));
    }
}

simd! {
    /// Adds `Σ g (x - mean)`.
    fn add_products(total: &mut f64, gradient: &[f32], x: &[f32], mean: f32) {
        *total += f64::from(sum_pairs(gradient, x, |g, x| g * (x - mean)));
    }
}

simd! {
    /// `x ← (x - mean) factor + bias`.
    fn normalise(values: &mut [f32], mean: f32, factor: f32, bias: f32) {
        for value in values {
            *value = multiply_add::<FMA>(*value - mean, factor, bias);
        }
    }
}

simd! {
    /// `g ← factor (g - constant - (x - mean) slope)`.
    fn differentiate(gradient: &mut [f32], x: &[f32], mean: f32, slope: f32, constant: f32, factor: f32) {
        for (g, &x) in gradient.iter_mut().zip(x) {
            *g = factor * multiply_add::<FMA>(mean - x, slope, *g - constant);
        }
    }
}
