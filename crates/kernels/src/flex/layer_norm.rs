//! Layer normalisation in one pass over the rows each way. The backward pass recomputes mean and variance.

use burn::backend::flex::FlexTensor;

use super::{Operation, changed, tensor};
use crate::parallel;
use crate::simd::{multiply_add, simd, sum_pairs};

/// Rows per task; also the rows whose parameter gradients are summed before the sums are added.
const ROWS: usize = 64;

/// Normalisation of `[.., width]`, weight `[width]` and bias `[width]` over the last dimension.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerNorm {
    pub(crate) eps: f32,
}

impl Operation<3> for LayerNorm {
    type Saved = Option<(FlexTensor, FlexTensor)>;

    fn forward(self, inputs: [FlexTensor; 3], tracked: [bool; 3]) -> (FlexTensor, Self::Saved) {
        let [x, weight, bias] = inputs;
        let saved = tracked.contains(&true).then(|| (x.clone(), weight.clone()));
        let (weight, bias) = (weight.storage::<f32>(), bias.storage::<f32>());
        (changed(x, ROWS * weight.len(), |_, rows| normalise(rows, weight, bias, self.eps)), saved)
    }

    fn backward(
        self,
        saved: Self::Saved,
        mut gradient: FlexTensor,
        tracked: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let Some((x, weight)) = saved else { return [None, None, None] };
        let [x_tracked, weight_tracked, bias_tracked] = tracked;
        let (weight, x) = (weight.storage::<f32>(), x.storage::<f32>());
        let width = weight.len();
        let chunk = ROWS * width;
        if !weight_tracked && !bias_tracked {
            let gradient = changed(gradient, chunk, |index, gradient| {
                pass_back(gradient, &x[index * chunk..][..gradient.len()], weight, self.eps);
            });
            return [x_tracked.then_some(gradient), None, None];
        }
        let mut sums = vec![0.0; x.len().div_ceil(chunk) * 2 * width];
        let tasks = gradient
            .storage_mut::<f32>()
            .chunks_mut(chunk)
            .zip(x.chunks(chunk))
            .zip(sums.chunks_mut(2 * width));
        parallel::run(
            tasks,
            || (),
            |_, ((gradient, x), sums)| differentiate(gradient, x, weight, sums, self.eps),
        );
        let mut parameters = vec![0.0; 2 * width];
        for sums in sums.chunks(2 * width) {
            for (total, sum) in parameters.iter_mut().zip(sums) {
                *total += sum;
            }
        }
        let bias = parameters.split_off(width);
        [
            x_tracked.then_some(gradient),
            weight_tracked.then(|| tensor(parameters, [width])),
            bias_tracked.then(|| tensor(bias, [width])),
        ]
    }
}

/// The mean of a row and the reciprocal of its standard deviation.
#[inline(always)]
fn moments(row: &[f32], eps: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = sum_pairs(row, row, |x, _| x) / count;
    let variance = sum_pairs(row, row, |x, _| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + eps).sqrt())
}

simd! {
    /// `x ← (x - mean) / deviation * weight + bias` in every row.
    fn normalise(rows: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
        for row in rows.chunks_exact_mut(weight.len()) {
            let (mean, scale) = moments(row, eps);
            for ((x, &weight), &bias) in row.iter_mut().zip(weight).zip(bias) {
                *x = multiply_add::<FMA>((*x - mean) * scale, weight, bias);
            }
        }
    }
}

simd! {
    /// Turns the gradient of the result into that of `x`, and adds those of weight and bias to `sums`.
    ///
    /// With `h` the normalised row and `u = g weight`:
    /// `dx = (u - mean(u) - h mean(u h)) / deviation`, `dweight = Σ g h`, `dbias = Σ g`.
    fn differentiate(gradient: &mut [f32], x: &[f32], weight: &[f32], sums: &mut [f32], eps: f32) {
        let width = weight.len();
        let (weight_sum, bias_sum) = sums.split_at_mut(width);
        for (gradient, x) in gradient.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let (mean, scale) = moments(x, eps);
            let parameters = weight.iter().zip(weight_sum.iter_mut()).zip(bias_sum.iter_mut());
            for ((g, &x), ((&weight, weight_sum), bias_sum)) in gradient.iter_mut().zip(x).zip(parameters) {
                *weight_sum = multiply_add::<FMA>(*g, (x - mean) * scale, *weight_sum);
                *bias_sum += *g;
                *g *= weight;
            }
            input_gradient::<FMA>(gradient, x, mean, scale);
        }
    }
}

simd! {
    /// Turns the gradient of the result into that of `x`, where weight and bias are frozen.
    fn pass_back(gradient: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
        let width = weight.len();
        for (gradient, x) in gradient.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let (mean, scale) = moments(x, eps);
            for (g, &weight) in gradient.iter_mut().zip(weight) {
                *g *= weight;
            }
            input_gradient::<FMA>(gradient, x, mean, scale);
        }
    }
}

/// Turns `u = g weight` of one row into `dx`.
#[inline(always)]
fn input_gradient<const FMA: bool>(u: &mut [f32], x: &[f32], mean: f32, scale: f32) {
    let width = u.len() as f32;
    let u_mean = sum_pairs(u, u, |u, _| u) / width;
    let uh_mean = sum_pairs(u, x, |u, x| u * (x - mean)) * scale / width;
    for (u, &x) in u.iter_mut().zip(x) {
        let h = (x - mean) * scale;
        *u = scale * multiply_add::<FMA>(-h, uh_mean, *u - u_mean);
    }
}
