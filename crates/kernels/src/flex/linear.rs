//! Linear layers as one matrix product per result, with the bias as the product's starting value.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use regulus_matrix::{Kernels, Matrix, MatrixMut, Packed, Precision, Settings, product, product_packed};

use super::frozen::{self, Side};
use super::memory::Buffer;
use super::multiply::{How, Multiply};
use super::{Operation, tensor};
use crate::parallel;
use crate::simd::simd;

/// Rows below which f32 products are those of the `gemm` crate. So few (the classes' and images' features, what losses
/// read) cost next to nothing, and its dot products sum in many short chains: a smaller rounding error.
const FEW_ROWS: usize = 16;

/// Rows whose gradients are summed before the sums are added.
const ROWS: usize = 64;

/// `x weightᵀ + bias` of `[.., in]`, `[out, in]` and, as an operation of three tensors, `[out]`; of four, plus a residual
/// `[.., out]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linear {
    pub(crate) precision: Precision,
}

/// Weight and input: each is kept only for the gradient of the other.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    weight: Option<FlexTensor>,
    x: Option<FlexTensor>,
    dims: [usize; 3],
    out: usize,
}

impl Operation<2> for Linear {
    type Saved = Saved;

    fn forward(self, [x, weight]: [FlexTensor; 2], tracked: [bool; 2]) -> (FlexTensor, Saved) {
        self.apply(x, weight, [None, None], tracked)
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 2]) -> [Option<FlexTensor>; 2] {
        self.gradients(&saved, &gradient, tracked)
    }
}

impl Operation<3> for Linear {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 3], tracked: [bool; 3]) -> (FlexTensor, Saved) {
        let ([x, weight, bias], [x_tracked, weight_tracked, _]) = (inputs, tracked);
        self.apply(x, weight, [Some(bias), None], [x_tracked, weight_tracked])
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let [x_tracked, weight_tracked, bias_tracked] = tracked;
        let [x, weight] = self.gradients(&saved, &gradient, [x_tracked, weight_tracked]);
        let bias = bias_tracked.then(|| tensor(column_sums(gradient.storage(), saved.out), [saved.out]));
        [x, weight, bias]
    }
}

impl Operation<4> for Linear {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 4], tracked: [bool; 4]) -> (FlexTensor, Saved) {
        let ([x, weight, bias, residual], [x_tracked, weight_tracked, ..]) = (inputs, tracked);
        self.apply(x, weight, [Some(bias), Some(residual)], [x_tracked, weight_tracked])
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let [x_tracked, weight_tracked, bias_tracked, residual_tracked] = tracked;
        let before_sum = [x_tracked, weight_tracked, bias_tracked];
        let [x, weight, bias] = Operation::<3>::backward(self, saved, gradient.clone(), before_sum);
        [x, weight, bias, residual_tracked.then_some(gradient)]
    }
}

impl Linear {
    /// The product, to which the bias is added first and then the residual.
    fn apply(
        self,
        x: FlexTensor,
        weight: FlexTensor,
        [bias, residual]: [Option<FlexTensor>; 2],
        [x_tracked, weight_tracked]: [bool; 2],
    ) -> (FlexTensor, Saved) {
        let dims @ [batch, tokens, width] = x.shape().dims();
        let [out, _] = weight.shape().dims();
        let rows = batch * tokens;
        let [bias, residual] =
            [&bias, &residual].map(|tensor| tensor.as_ref().map(FlexTensor::storage::<f32>));
        let add = |row: usize, first: usize, values: &mut [f32]| {
            if let Some(bias) = bias {
                add_row(values, &bias[first..][..values.len()]);
            }
            if let Some(residual) = residual {
                add_row(values, &residual[row * out + first..][..values.len()]);
            }
        };
        let epilogue = (bias.is_some() || residual.is_some()).then_some(&add as _);
        let settings = Settings { epilogue, kernels: self.kernels(rows), ..Settings::default() };
        let mut result = Buffer::of(rows * out);
        let target = MatrixMut::new(&mut result, rows, out, out);
        let x_matrix = Matrix::new(x.storage(), rows, width, width);
        match self.frozen(&weight, [out, width], Side::Transposed, weight_tracked) {
            Some(packed) => product_packed(target, x_matrix, &packed, &settings),
            None => {
                let weight = Matrix::new(weight.storage(), out, width, width).transposed();
                product(target, x_matrix, weight, self.precision, &settings);
            }
        }
        let result = result.into_tensor([batch, tokens, out]);
        (result, Saved { weight: x_tracked.then_some(weight), x: weight_tracked.then_some(x), dims, out })
    }

    /// `dx = g weight` and `dweight = gᵀ x`, where tracked.
    fn gradients(self, saved: &Saved, gradient: &FlexTensor, tracked: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let [batch, tokens, width] = saved.dims;
        let (rows, out) = (batch * tokens, saved.out);
        let gradient = Matrix::new(gradient.storage(), rows, out, out);
        let how = How::pooled(self.precision).by(self.kernels(rows));
        let x = saved.weight.as_ref().filter(|_| tracked[0]).map(|weight| {
            let mut result = Buffer::of(rows * width);
            let target = MatrixMut::new(&mut result, rows, width, width);
            match self.frozen(weight, [out, width], Side::Stored, tracked[1]) {
                Some(packed) => product_packed(target, gradient, &packed, &Settings::default()),
                None => {
                    let weight = Matrix::new(weight.storage(), out, width, width);
                    target.set_product(gradient, weight, 1.0, how);
                }
            }
            result.into_tensor([batch, tokens, width])
        });
        let weight = saved.x.as_ref().filter(|_| tracked[1]).map(|x| {
            let mut result = Buffer::of(out * width);
            let x = Matrix::new(x.storage(), rows, width, width);
            MatrixMut::new(&mut result, out, width, width).set_product(gradient.transposed(), x, 1.0, how);
            result.into_tensor([out, width])
        });
        [x, weight]
    }

    fn kernels(self, rows: usize) -> Kernels {
        if self.precision == Precision::F32 && rows < FEW_ROWS { Kernels::Portable } else { Kernels::Native }
    }

    /// The weight as it was packed for an earlier step, if it does not change between steps.
    fn frozen(
        self,
        weight: &FlexTensor,
        shape: [usize; 2],
        side: Side,
        tracked: bool,
    ) -> Option<Arc<Packed>> {
        if tracked { None } else { frozen::packed(weight, shape, side, self.precision) }
    }
}

/// The sum of all rows of `[rows, columns]`.
fn column_sums(values: &[f32], columns: usize) -> Vec<f32> {
    let chunk = ROWS * columns;
    let mut sums = vec![0.0; values.len().div_ceil(chunk) * columns];
    let tasks = values.chunks(chunk).zip(sums.chunks_mut(columns));
    parallel::run(tasks, || (), |_, (rows, sum)| add_rows(sum, rows));
    let mut total = vec![0.0; columns];
    add_rows(&mut total, &sums);
    total
}

simd! {
    /// Adds every row to `sum`.
    fn add_rows(sum: &mut [f32], rows: &[f32]) {
        for row in rows.chunks_exact(sum.len()) {
            for (sum, &value) in sum.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

simd! {
    fn add_row(values: &mut [f32], row: &[f32]) {
        for (value, &add) in values.iter_mut().zip(row) {
            *value += add;
        }
    }
}
