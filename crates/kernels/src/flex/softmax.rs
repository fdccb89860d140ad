//! The logarithm of the softmax in one pass over the rows each way. The backward pass needs the result alone.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::{Operation, changed};
use crate::simd::{exp, largest, multiply_add, simd, sum_pairs};

/// Rows per task.
const ROWS: usize = 16;

/// `log softmax` over the last dimension.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogSoftmax;

impl Operation<1> for LogSoftmax {
    type Saved = Option<FlexTensor>;

    fn forward(self, [x]: [FlexTensor; 1], [tracked]: [bool; 1]) -> (FlexTensor, Self::Saved) {
        let classes = classes(&x);
        let result = changed(x, ROWS * classes, |_, rows| log_softmax(rows, classes));
        (result.clone(), tracked.then_some(result))
    }

    fn backward(self, saved: Self::Saved, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [saved.map(|result| {
            let (classes, result) = (classes(&result), result.storage::<f32>());
            changed(gradient, ROWS * classes, |index, gradient| {
                pass_back(gradient, &result[index * ROWS * classes..][..gradient.len()], classes);
            })
        })]
    }
}

fn classes(x: &FlexTensor) -> usize {
    x.shape().as_slice().last().copied().unwrap_or(1)
}

simd! {
    fn log_softmax(rows: &mut [f32], classes: usize) {
        for row in rows.chunks_exact_mut(classes) {
            let max = largest(row);
            let total = sum_pairs(row, row, |x, _| exp::<FMA>(x - max)).ln();
            for x in row {
                *x = (*x - max) - total;
            }
        }
    }
}

simd! {
    /// With `y` the result: `g ← g - exp(y) Σ g` in every row.
    fn pass_back(gradient: &mut [f32], result: &[f32], classes: usize) {
        for (gradient, result) in gradient.chunks_exact_mut(classes).zip(result.chunks_exact(classes)) {
            let total = sum_pairs(gradient, gradient, |g, _| g);
            for (g, &y) in gradient.iter_mut().zip(result) {
                *g = multiply_add::<FMA>(-exp::<FMA>(y), total, *g);
            }
        }
    }
}
