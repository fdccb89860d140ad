//! Linear layers as one matrix product per result, with the bias as the product's starting value.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use regulus_matrix::{
    Epilogue, Kernels, Matrix, MatrixMut, Precision, Settings, product, product_masked, product_packed,
};

use super::frozen::{self, Side};
use super::memory::Buffer;
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
    pub(super) weight: Option<FlexTensor>,
    x: Option<FlexTensor>,
    dims: [usize; 3],
    pub(super) out: usize,
}

/// What a layer does besides multiplying its input by its weight.
#[derive(Clone, Copy, Default)]
pub(super) struct Besides<'a> {
    /// Which entries of the weight count, if not all do.
    pub(super) bits: Option<&'a [u64]>,
    /// `[out]`, added first,
    pub(super) bias: Option<&'a FlexTensor>,
    /// then `[.., out]`.
    pub(super) residual: Option<&'a FlexTensor>,
    /// What becomes of the sums.
    pub(super) then: Option<Epilogue<'a>>,
}

impl Saved {
    /// Features of the input.
    pub(super) fn width(&self) -> usize {
        self.dims[2]
    }
}

impl Operation<2> for Linear {
    type Saved = Saved;

    fn forward(self, [x, weight]: [FlexTensor; 2], tracked: [bool; 2]) -> (FlexTensor, Saved) {
        self.apply(x, weight, Besides::default(), tracked)
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 2]) -> [Option<FlexTensor>; 2] {
        self.gradients(&saved, &gradient, tracked)
    }
}

impl Operation<3> for Linear {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 3], tracked: [bool; 3]) -> (FlexTensor, Saved) {
        let ([x, weight, bias], [x_tracked, weight_tracked, _]) = (inputs, tracked);
        self.apply(
            x,
            weight,
            Besides { bias: Some(&bias), ..Besides::default() },
            [x_tracked, weight_tracked],
        )
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let [x_tracked, weight_tracked, bias_tracked] = tracked;
        let [x, weight] = self.gradients(&saved, &gradient, [x_tracked, weight_tracked]);
        [x, weight, bias_tracked.then(|| column_sums(&gradient, saved.out))]
    }
}

impl Operation<4> for Linear {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 4], tracked: [bool; 4]) -> (FlexTensor, Saved) {
        let ([x, weight, bias, residual], [x_tracked, weight_tracked, ..]) = (inputs, tracked);
        let besides = Besides { bias: Some(&bias), residual: Some(&residual), ..Besides::default() };
        self.apply(x, weight, besides, [x_tracked, weight_tracked])
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let [x_tracked, weight_tracked, bias_tracked, residual_tracked] = tracked;
        let before_sum = [x_tracked, weight_tracked, bias_tracked];
        let [x, weight, bias] = Operation::<3>::backward(self, saved, gradient.clone(), before_sum);
        [x, weight, bias, residual_tracked.then_some(gradient)]
    }
}

impl Linear {
    /// The layer, and what the gradients of the tracked input and weight will need.
    pub(super) fn apply(
        self,
        x: FlexTensor,
        weight: FlexTensor,
        besides: Besides<'_>,
        [x_tracked, weight_tracked]: [bool; 2],
    ) -> (FlexTensor, Saved) {
        let dims @ [batch, tokens, width] = x.shape().dims();
        let [out, _] = weight.shape().dims();
        let rows = batch * tokens;
        let Besides { bits, bias, residual, then } = besides;
        let [bias, residual] = [bias, residual].map(|tensor| tensor.map(FlexTensor::storage::<f32>));
        let finish = |row: usize, first: usize, values: &mut [f32]| {
            if let Some(bias) = bias {
                add_row(values, &bias[first..][..values.len()]);
            }
            if let Some(residual) = residual {
                add_row(values, &residual[row * out + first..][..values.len()]);
            }
            if let Some(then) = then {
                then(row, first, values);
            }
        };
        let epilogue = (bias.is_some() || residual.is_some() || then.is_some()).then_some(&finish as _);
        let settings = Settings { epilogue, kernels: self.kernels(rows), ..Settings::default() };
        let mut result = Buffer::of(rows * out);
        let target = MatrixMut::new(&mut result, rows, out, out);
        let x_matrix = Matrix::new(x.storage(), rows, width, width);
        let operand = Right { weight: &weight, bits, side: Side::Transposed, changes: weight_tracked };
        self.multiply(target, x_matrix, operand, [out, width], &settings);
        let result = result.into_tensor([batch, tokens, out]);
        (result, Saved { weight: x_tracked.then_some(weight), x: weight_tracked.then_some(x), dims, out })
    }

    /// `dx = g weight` and `dweight = gᵀ x`, where tracked.
    pub(super) fn gradients(
        self,
        saved: &Saved,
        gradient: &FlexTensor,
        tracked: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let [x_tracked, weight_tracked] = tracked;
        let x = x_tracked.then(|| self.gradient_of_x(saved, None, gradient, weight_tracked)).flatten();
        [x, weight_tracked.then(|| self.gradient_of_weight(saved, gradient, None)).flatten()]
    }

    /// `g weight`, with those entries of the weight whose bits are set, or all. `changes` if the weight is trained.
    pub(super) fn gradient_of_x(
        self,
        saved: &Saved,
        bits: Option<&[u64]>,
        gradient: &FlexTensor,
        changes: bool,
    ) -> Option<FlexTensor> {
        let ([batch, tokens, width], out) = (saved.dims, saved.out);
        let rows = batch * tokens;
        let weight = saved.weight.as_ref()?;
        let mut result = Buffer::of(rows * width);
        let target = MatrixMut::new(&mut result, rows, width, width);
        let operand = Right { weight, bits, side: Side::Stored, changes };
        let settings = Settings { kernels: self.kernels(rows), ..Settings::default() };
        let gradient = Matrix::new(gradient.storage(), rows, out, out);
        self.multiply(target, gradient, operand, [out, width], &settings);
        Some(result.into_tensor([batch, tokens, width]))
    }

    /// `gᵀ x`, of which `epilogue` makes the gradient.
    pub(super) fn gradient_of_weight(
        self,
        saved: &Saved,
        gradient: &FlexTensor,
        epilogue: Option<Epilogue<'_>>,
    ) -> Option<FlexTensor> {
        let ([batch, tokens, width], out) = (saved.dims, saved.out);
        let rows = batch * tokens;
        let x = Matrix::new(saved.x.as_ref()?.storage(), rows, width, width);
        let mut result = Buffer::of(out * width);
        let target = MatrixMut::new(&mut result, out, width, width);
        let gradient = Matrix::new(gradient.storage(), rows, out, out);
        let settings = Settings { epilogue, kernels: self.kernels(rows), ..Settings::default() };
        product(target, gradient.transposed(), x, self.precision, &settings);
        Some(result.into_tensor([out, width]))
    }

    /// The product of `left` and a weight of this shape.
    fn multiply(
        self,
        out: MatrixMut,
        left: Matrix,
        right: Right<'_>,
        shape: [usize; 2],
        settings: &Settings,
    ) {
        let Right { weight, bits, side, changes } = right;
        let lasting = !changes && bits.is_none();
        if let Some(packed) = lasting.then(|| frozen::packed(weight, shape, side, self.precision)).flatten() {
            return product_packed(out, left, &packed, settings);
        }
        let [rows, columns] = shape;
        let stored = Matrix::new(weight.storage(), rows, columns, columns);
        let matrix = if side == Side::Transposed { stored.transposed() } else { stored };
        match bits {
            Some(bits) => product_masked(out, left, matrix, bits, self.precision, settings),
            None => product(out, left, matrix, self.precision, settings),
        }
    }

    fn kernels(self, rows: usize) -> Kernels {
        if self.precision == Precision::F32 && rows < FEW_ROWS { Kernels::Portable } else { Kernels::Native }
    }
}

/// A weight `[out, in]` on the right of a product.
struct Right<'a> {
    weight: &'a FlexTensor,
    /// Which entries count, if not all do.
    bits: Option<&'a [u64]>,
    side: Side,
    /// Whether it is another one at the next step, so that packing it for later is no use.
    changes: bool,
}

/// The sum of all rows of `[.., columns]`.
pub(super) fn column_sums(values: &FlexTensor, columns: usize) -> FlexTensor {
    let values: &[f32] = values.storage();
    let chunk = ROWS * columns;
    let mut sums = vec![0.0; values.len().div_ceil(chunk) * columns];
    let tasks = values.chunks(chunk).zip(sums.chunks_mut(columns));
    parallel::run(tasks, || (), |_, (rows, sum)| add_rows(sum, rows));
    let mut total = vec![0.0; columns];
    add_rows(&mut total, &sums);
    tensor(total, [columns])
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
