//! Attention of packed texts, in groups of texts: the scores with the common positions are one matrix product for a
//! whole group and head. The backward pass recomputes the probabilities.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::Operation;
use super::attention::{Attention, Sample, softmax, softmax_backward};
use super::memory::Buffer;
use super::multiply::{How, Multiply};
use regulus_matrix::{Matrix, MatrixMut, Precision};

use crate::packed::Packing;
use crate::simd::LANES;
use crate::{AttentionMask, parallel};

/// Texts whose gradients of the common keys and values are summed before the sums are added. It does not depend on
/// threads, so that sums do not either.
const TEXTS: usize = 16;

/// Causal attention on `[1, positions, 3 width]` packed queries, keys and values of packed texts.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    pub(crate) heads: usize,
    pub(crate) packing: Packing,
    pub(crate) precision: Precision,
}

impl Operation<1> for Packed {
    type Saved = Option<FlexTensor>;

    fn forward(self, [qkv]: [FlexTensor; 1], [tracked]: [bool; 1]) -> (FlexTensor, Self::Saved) {
        let [_, positions, packed] = qkv.shape().dims();
        let layout = Layout::new(&self, packed);
        let mut result = Buffer::of(positions * layout.width);
        let (common, own) = qkv.storage().split_at(layout.common * packed);
        let (common_result, own_result) = result.split_at_mut(layout.common * layout.width);
        let beginning = layout.beginning(self.heads);
        beginning.forward(common, common_result, &mut beginning.scratch());
        let tasks =
            pieces_mut(own_result, layout.width, &self.packing).zip(pieces(own, packed, &self.packing));
        parallel::run(
            tasks,
            || layout.scratch(),
            |scratch, ((lengths, result), qkv)| layout.forward(lengths, common, qkv, result, scratch),
        );
        (result.into_tensor([1, positions, layout.width]), tracked.then_some(qkv))
    }

    fn backward(self, saved: Self::Saved, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [saved.map(|qkv| {
            let [_, positions, packed] = qkv.shape().dims();
            let layout = Layout::new(&self, packed);
            let mut result = Buffer::of(positions * packed);
            let (common, own) = qkv.storage().split_at(layout.common * packed);
            let (common_gradient, own_gradient) =
                gradient.storage::<f32>().split_at(layout.common * layout.width);
            let (common_result, own_result) = result.split_at_mut(layout.common * packed);
            let sums_of_group = layout.common * 2 * layout.width;
            let mut sums = vec![0.0; self.packing.lengths().len().div_ceil(TEXTS) * sums_of_group];
            let tasks = pieces_mut(own_result, packed, &self.packing)
                .zip(pieces(own, packed, &self.packing))
                .zip(pieces(own_gradient, layout.width, &self.packing))
                .zip(sums.chunks_mut(sums_of_group));
            parallel::run(
                tasks,
                || [layout.scratch(), layout.scratch()],
                |scratch, ((((lengths, result), qkv), gradient), sums)| {
                    layout.backward(lengths, common, qkv, gradient, result, sums, scratch);
                },
            );
            let beginning = layout.beginning(self.heads);
            let mut scratch = [beginning.scratch(), beginning.scratch()];
            beginning.backward(common, common_gradient, common_result, &mut scratch);
            for sums in sums.chunks(sums_of_group) {
                let rows = common_result.chunks_mut(packed).zip(sums.chunks(2 * layout.width));
                for (row, sums) in rows {
                    row[layout.width..].iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
                }
            }
            result.into_tensor([1, positions, packed])
        })]
    }
}

/// The values of each group of texts, of `columns` per position.
fn pieces<'a>(values: &'a [f32], columns: usize, packing: &'a Packing) -> impl Iterator<Item = &'a [f32]> {
    let mut rest = values;
    packing.lengths().chunks(TEXTS).map(move |lengths| {
        let (piece, behind) = rest.split_at(lengths.iter().sum::<usize>() * columns);
        rest = behind;
        piece
    })
}

/// The same to write to, each with the lengths of its texts.
fn pieces_mut<'a>(
    values: &'a mut [f32],
    columns: usize,
    packing: &'a Packing,
) -> impl Iterator<Item = (&'a [usize], &'a mut [f32])> {
    let mut rest = values;
    packing.lengths().chunks(TEXTS).map(move |lengths| {
        let (piece, behind) = std::mem::take(&mut rest).split_at_mut(lengths.iter().sum::<usize>() * columns);
        rest = behind;
        (lengths, piece)
    })
}

/// The layout of one sequence. Scores of a position stand in one row: those with the common positions, then those with
/// its own text's.
#[derive(Debug, Clone, Copy)]
struct Layout {
    common: usize,
    width: usize,
    head_dim: usize,
    /// From one row of scores to the next.
    stride: usize,
    /// Most positions of a group.
    rows: usize,
    precision: Precision,
}

impl Layout {
    fn new(operation: &Packed, packed: usize) -> Self {
        let Packed { heads, packing, precision } = operation;
        let width = packed / 3;
        let longest = packing.lengths().iter().max().copied().unwrap_or(0);
        let rows = packing.lengths().chunks(TEXTS).map(|lengths| lengths.iter().sum()).max().unwrap_or(0);
        let stride = (packing.common() + longest).next_multiple_of(LANES);
        Self { common: packing.common(), width, head_dim: width / heads, stride, rows, precision: *precision }
    }

    /// The common positions among themselves.
    fn beginning(self, heads: usize) -> Sample {
        Sample::new(
            Attention { heads, mask: AttentionMask::Causal, precision: self.precision },
            self.common,
            3 * self.width,
        )
    }

    fn scratch(self) -> Vec<f32> {
        vec![0.0; self.rows * self.stride]
    }

    fn how(self) -> How {
        How::here(self.precision)
    }

    fn scale(self) -> f32 {
        (self.head_dim as f32).powf(-0.5)
    }

    /// Columns of one head in `rows` positions from `row` on.
    fn part(self, values: &[f32], columns: usize, row: usize, rows: usize, first: usize) -> Matrix<'_> {
        Matrix::new(&values[row * columns + first..], rows, self.head_dim, columns)
    }

    fn part_mut(
        self,
        values: &mut [f32],
        columns: usize,
        row: usize,
        rows: usize,
        first: usize,
    ) -> MatrixMut<'_> {
        MatrixMut::new(&mut values[row * columns + first..], rows, self.head_dim, columns)
    }

    /// The scores of `rows` positions from `row` on with the `keys` positions from `key` on.
    fn scores(self, scratch: &[f32], row: usize, rows: usize, key: usize, keys: usize) -> Matrix<'_> {
        Matrix::new(&scratch[row * self.stride + key..], rows, keys, self.stride)
    }

    fn scores_mut(
        self,
        scratch: &mut [f32],
        row: usize,
        rows: usize,
        key: usize,
        keys: usize,
    ) -> MatrixMut<'_> {
        MatrixMut::new(&mut scratch[row * self.stride + key..], rows, keys, self.stride)
    }

    /// Writes `p v` of every head of a group of texts.
    fn forward(
        self,
        lengths: &[usize],
        common: &[f32],
        qkv: &[f32],
        result: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (width, packed) = (self.width, 3 * self.width);
        let rows = result.len() / width;
        for first in (0..width).step_by(self.head_dim) {
            self.probabilities(lengths, common, qkv, first, scratch);
            let v = self.part(common, packed, 0, self.common, 2 * width + first);
            let p = self.scores(scratch, 0, rows, 0, self.common);
            self.part_mut(result, width, 0, rows, first).set_product(p, v, 1.0, self.how());
            for (row, length) in places(lengths) {
                let v = self.part(qkv, packed, row, length, 2 * width + first);
                let p = self.scores(scratch, row, length, self.common, length);
                self.part_mut(result, width, row, length, first).add_product(p, v, 1.0, self.how());
            }
        }
    }

    /// Fills the scratch with the probabilities of the head whose queries start at column `first`.
    fn probabilities(
        self,
        lengths: &[usize],
        common: &[f32],
        qkv: &[f32],
        first: usize,
        scratch: &mut [f32],
    ) {
        let (width, packed) = (self.width, 3 * self.width);
        let rows = qkv.len() / packed;
        let q = self.part(qkv, packed, 0, rows, first);
        let k = self.part(common, packed, 0, self.common, width + first).transposed();
        self.scores_mut(scratch, 0, rows, 0, self.common).set_product(q, k, self.scale(), self.how());
        for (row, length) in places(lengths) {
            let q = self.part(qkv, packed, row, length, first);
            let k = self.part(qkv, packed, row, length, width + first).transposed();
            self.scores_mut(scratch, row, length, self.common, length).set_product(
                q,
                k,
                self.scale(),
                self.how(),
            );
            let scores = &mut scratch[row * self.stride..(row + length) * self.stride];
            softmax(scores, self.stride, self.common + 1, 1);
        }
    }

    /// Writes the gradients of a group's queries, keys and values, and adds those of the common keys and values, side
    /// by side, to `sums`. The formulas are those of plain attention.
    #[allow(clippy::too_many_arguments, reason = "what a group reads, then what it writes")]
    fn backward(
        self,
        lengths: &[usize],
        common: &[f32],
        qkv: &[f32],
        gradient: &[f32],
        result: &mut [f32],
        sums: &mut [f32],
        [probabilities, scores]: &mut [Vec<f32>; 2],
    ) {
        let (width, packed, scale) = (self.width, 3 * self.width, self.scale());
        let rows = gradient.len() / width;
        for first in (0..width).step_by(self.head_dim) {
            let [q_first, k_first, v_first] = [first, width + first, 2 * width + first];
            self.probabilities(lengths, common, qkv, first, probabilities);
            let g = self.part(gradient, width, 0, rows, first);
            let v = self.part(common, packed, 0, self.common, v_first).transposed();
            self.scores_mut(scores, 0, rows, 0, self.common).set_product(g, v, 1.0, self.how());
            for (row, length) in places(lengths) {
                let g = self.part(gradient, width, row, length, first);
                let v = self.part(qkv, packed, row, length, v_first).transposed();
                self.scores_mut(scores, row, length, self.common, length).set_product(g, v, 1.0, self.how());
                let own = row * self.stride..(row + length) * self.stride;
                softmax_backward(
                    &mut scores[own.clone()],
                    &probabilities[own],
                    self.stride,
                    self.common + length,
                );
            }
            let (p, ds) = (
                self.scores(probabilities, 0, rows, 0, self.common),
                self.scores(scores, 0, rows, 0, self.common),
            );
            let (q, k) = (
                self.part(qkv, packed, 0, rows, q_first),
                self.part(common, packed, 0, self.common, k_first),
            );
            self.part_mut(sums, 2 * width, 0, self.common, first).set_product(
                ds.transposed(),
                q,
                scale,
                self.how(),
            );
            self.part_mut(sums, 2 * width, 0, self.common, width + first).set_product(
                p.transposed(),
                g,
                1.0,
                self.how(),
            );
            self.part_mut(result, packed, 0, rows, q_first).set_product(ds, k, scale, self.how());
            for (row, length) in places(lengths) {
                let p = self.scores(probabilities, row, length, self.common, length);
                let ds = self.scores(scores, row, length, self.common, length);
                let (q, k) = (
                    self.part(qkv, packed, row, length, q_first),
                    self.part(qkv, packed, row, length, k_first),
                );
                let g = self.part(gradient, width, row, length, first);
                let q_result = self.part_mut(result, packed, row, length, q_first);
                q_result.add_product(ds, k, scale, self.how());
                let k_result = self.part_mut(result, packed, row, length, k_first);
                k_result.set_product(ds.transposed(), q, scale, self.how());
                let v_result = self.part_mut(result, packed, row, length, v_first);
                v_result.set_product(p.transposed(), g, 1.0, self.how());
            }
        }
    }
}

/// Where each text of a group begins, and its length.
fn places(lengths: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    lengths.iter().scan(0, |next, &length| {
        let row = *next;
        *next += length;
        Some((row, length))
    })
}
