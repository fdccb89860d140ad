//! Linear layers as one matrix product per result, with the bias as the product's starting value.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::{Operation, tensor};
use crate::matrix::{Matrix, MatrixMut, Threads};
use crate::parallel;
use crate::simd::simd;

/// Rows whose gradients are summed before the sums are added.
const ROWS: usize = 64;

/// `x weightᵀ + bias` of `[.., in]`, `[out, in]` and, as an operation of three tensors, `[out]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linear;

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
        forward(x, weight, None, tracked)
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 2]) -> [Option<FlexTensor>; 2] {
        backward(&saved, &gradient, tracked)
    }
}

impl Operation<3> for Linear {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 3], tracked: [bool; 3]) -> (FlexTensor, Saved) {
        let ([x, weight, bias], [x_tracked, weight_tracked, _]) = (inputs, tracked);
        forward(x, weight, Some(bias), [x_tracked, weight_tracked])
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let [x_tracked, weight_tracked, bias_tracked] = tracked;
        let [x, weight] = backward(&saved, &gradient, [x_tracked, weight_tracked]);
        let bias = bias_tracked.then(|| tensor(column_sums(gradient.storage(), saved.out), [saved.out]));
        [x, weight, bias]
    }
}

fn forward(
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    [x_tracked, weight_tracked]: [bool; 2],
) -> (FlexTensor, Saved) {
    let [batch, tokens, width] = x.shape().dims();
    let [out, _] = weight.shape().dims();
    let rows = batch * tokens;
    let x_matrix = Matrix::new(x.storage(), rows, width, width);
    let weight_matrix = Matrix::new(weight.storage(), out, width, width).transposed();
    let result = match bias {
        Some(bias) => {
            let mut result = bias.storage::<f32>().repeat(rows);
            MatrixMut::new(&mut result, rows, out, out).add_product(x_matrix, weight_matrix, Threads::Pool);
            result
        }
        None => {
            let mut result = vec![0.0; rows * out];
            MatrixMut::new(&mut result, rows, out, out).set_product(
                x_matrix,
                weight_matrix,
                1.0,
                Threads::Pool,
            );
            result
        }
    };
    let result = tensor(result, [batch, tokens, out]);
    let dims = [batch, tokens, width];
    (result, Saved { weight: x_tracked.then_some(weight), x: weight_tracked.then_some(x), dims, out })
}

/// `dx = g weight` and `dweight = gᵀ x`, where tracked.
fn backward(saved: &Saved, gradient: &FlexTensor, tracked: [bool; 2]) -> [Option<FlexTensor>; 2] {
    let [batch, tokens, width] = saved.dims;
    let (rows, out) = (batch * tokens, saved.out);
    let gradient = Matrix::new(gradient.storage(), rows, out, out);
    let x = saved.weight.as_ref().filter(|_| tracked[0]).map(|weight| {
        let mut result = vec![0.0; rows * width];
        let weight = Matrix::new(weight.storage(), out, width, width);
        MatrixMut::new(&mut result, rows, width, width).set_product(gradient, weight, 1.0, Threads::Pool);
        tensor(result, [batch, tokens, width])
    });
    let weight = saved.x.as_ref().filter(|_| tracked[1]).map(|x| {
        let mut result = vec![0.0; out * width];
        let x = Matrix::new(x.storage(), rows, width, width);
        MatrixMut::new(&mut result, out, width, width).set_product(
            gradient.transposed(),
            x,
            1.0,
            Threads::Pool,
        );
        tensor(result, [out, width])
    });
    [x, weight]
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
