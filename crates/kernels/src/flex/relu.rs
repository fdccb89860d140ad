//! ReLU of one tensor or of a sum, in one pass each way. What is kept is the result, which the next layer keeps as well.

use burn::backend::flex::FlexTensor;

use super::{Operation, changed};
use crate::simd::simd;

/// Values per task.
const CHUNK: usize = 1 << 14;

/// `max(x, 0)`, or `max(a + b, 0)` as an operation of two tensors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relu;

impl Operation<1> for Relu {
    type Saved = Option<FlexTensor>;

    fn forward(self, [x]: [FlexTensor; 1], [tracked]: [bool; 1]) -> (FlexTensor, Self::Saved) {
        let x = changed(x, CHUNK, |_, values| cut(values));
        (x.clone(), tracked.then_some(x))
    }

    fn backward(self, saved: Self::Saved, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [saved.map(|result| passed(gradient, &result))]
    }
}

impl Operation<2> for Relu {
    type Saved = Option<FlexTensor>;

    fn forward(self, [a, b]: [FlexTensor; 2], tracked: [bool; 2]) -> (FlexTensor, Self::Saved) {
        let b = b.storage::<f32>();
        let a = changed(a, CHUNK, |index, a| add_and_cut(a, &b[index * CHUNK..][..a.len()]));
        (a.clone(), tracked.contains(&true).then_some(a))
    }

    fn backward(
        self,
        saved: Self::Saved,
        gradient: FlexTensor,
        tracked: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let passed = saved.map(|result| passed(gradient, &result));
        tracked.map(|tracked| passed.clone().filter(|_| tracked))
    }
}

/// The gradient where the result is positive.
fn passed(gradient: FlexTensor, result: &FlexTensor) -> FlexTensor {
    let result = result.storage::<f32>();
    changed(gradient, CHUNK, |index, gradient| pass(gradient, &result[index * CHUNK..][..gradient.len()]))
}

simd! {
    fn cut(values: &mut [f32]) {
        for value in values {
            *value = positive(*value);
        }
    }
}

simd! {
    fn add_and_cut(a: &mut [f32], b: &[f32]) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a = positive(*a + b);
        }
    }
}

/// NaN stays NaN.
#[inline(always)]
fn positive(value: f32) -> f32 {
    if value <= 0.0 { 0.0 } else { value }
}

simd! {
    fn pass(gradient: &mut [f32], result: &[f32]) {
        for (gradient, &result) in gradient.iter_mut().zip(result) {
            *gradient = if result > 0.0 { *gradient } else { 0.0 };
        }
    }
}
