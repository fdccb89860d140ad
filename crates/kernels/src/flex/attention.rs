//! Attention head by head, in scratch memory for the scores of one head. The backward pass recomputes the
//! probabilities, so that no score outlives its head.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::Operation;
use super::memory::Buffer;
use super::multiply::{How, Multiply};
use crate::AttentionMask;
use regulus_matrix::{Matrix, MatrixMut, Precision};

use crate::parallel;
use crate::simd::{LANES, exp, largest, reduce, simd, sum_pairs};

/// Self-attention on `[batch, tokens, 3 width]` packed queries, keys and values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    pub(crate) mask: AttentionMask,
    pub(crate) precision: Precision,
}

impl Operation<1> for Attention {
    type Saved = Option<FlexTensor>;

    fn forward(self, [qkv]: [FlexTensor; 1], [tracked]: [bool; 1]) -> (FlexTensor, Self::Saved) {
        let [batch, tokens, packed] = qkv.shape().dims();
        let sample = Sample::new(self, tokens, packed);
        let mut result = Buffer::of(batch * tokens * sample.width);
        let tasks = result.chunks_mut(tokens * sample.width).zip(qkv.storage().chunks(tokens * packed));
        parallel::run(
            tasks,
            || sample.scratch(),
            |scratch, (result, qkv)| sample.forward(qkv, result, scratch),
        );
        (result.into_tensor([batch, tokens, sample.width]), tracked.then_some(qkv))
    }

    fn backward(self, saved: Self::Saved, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [saved.map(|qkv| {
            let [batch, tokens, packed] = qkv.shape().dims();
            let sample = Sample::new(self, tokens, packed);
            let mut result = Buffer::of(batch * tokens * packed);
            let tasks = result
                .chunks_mut(tokens * packed)
                .zip(qkv.storage().chunks(tokens * packed))
                .zip(gradient.storage().chunks(tokens * sample.width));
            parallel::run(
                tasks,
                || [sample.scratch(), sample.scratch()],
                |scratch, ((result, qkv), gradient)| sample.backward(qkv, gradient, result, scratch),
            );
            result.into_tensor([batch, tokens, packed])
        })]
    }
}

/// The layout of one sample: `[tokens, 3 width]` packed, `[tokens, width]` in the result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    attention: Attention,
    tokens: usize,
    width: usize,
    head_dim: usize,
}

impl Sample {
    pub(super) fn new(attention: Attention, tokens: usize, packed: usize) -> Self {
        let width = packed / 3;
        Self { attention, tokens, width, head_dim: width / attention.heads }
    }

    /// Writes `p v` of every head, with `p = softmax(q kᵀ / √d + mask)`.
    pub(super) fn forward(self, qkv: &[f32], result: &mut [f32], scratch: &mut [f32]) {
        for first in (0..self.width).step_by(self.head_dim) {
            self.probabilities(qkv, first, scratch);
            let v = self.head(qkv, 2 * self.width + first);
            self.head_mut(result, first).set_product(self.scores(scratch), v, 1.0, self.how());
        }
    }

    /// Writes every head's gradients of queries, keys and values: with `g` the gradient of its result,
    /// `dp = g vᵀ` and `ds = p (dp - Σ p dp)`, they are `dq = ds k / √d`, `dk = dsᵀ q / √d`, `dv = pᵀ g`.
    pub(super) fn backward(
        self,
        qkv: &[f32],
        gradient: &[f32],
        result: &mut [f32],
        scratch: &mut [Vec<f32>; 2],
    ) {
        let [probabilities, scores] = scratch;
        for first in (0..self.width).step_by(self.head_dim) {
            let [q_first, k_first, v_first] = [first, self.width + first, 2 * self.width + first];
            let [q, k, v] = [q_first, k_first, v_first].map(|first| self.head(qkv, first));
            let g = self.head(gradient, first);
            self.probabilities(qkv, first, probabilities);
            self.scores_mut(scores).set_product(g, v.transposed(), 1.0, self.how());
            softmax_backward(scores, probabilities, self.stride(), self.tokens);
            let (p, ds) = (self.scores(probabilities), self.scores(scores));
            self.head_mut(result, q_first).set_product(ds, k, self.scale(), self.how());
            self.head_mut(result, k_first).set_product(ds.transposed(), q, self.scale(), self.how());
            self.head_mut(result, v_first).set_product(p.transposed(), g, 1.0, self.how());
        }
    }

    /// Fills the scratch with `softmax(q kᵀ / √d + mask)` of the head whose queries start at column `first`.
    fn probabilities(self, qkv: &[f32], first: usize, scratch: &mut [f32]) {
        let (q, k) = (self.head(qkv, first), self.head(qkv, self.width + first));
        self.scores_mut(scratch).set_product(q, k.transposed(), self.scale(), self.how());
        match self.attention.mask {
            AttentionMask::Full => softmax(scratch, self.stride(), self.tokens, 0),
            AttentionMask::Causal => softmax(scratch, self.stride(), 1, 1),
        }
    }

    fn how(self) -> How {
        How::here(self.attention.precision)
    }

    fn scale(self) -> f32 {
        (self.head_dim as f32).powf(-0.5)
    }

    /// From one row of scores to the next: rows are padded, so that they consist of whole blocks.
    fn stride(self) -> usize {
        self.tokens.next_multiple_of(LANES)
    }

    pub(super) fn scratch(self) -> Vec<f32> {
        vec![0.0; self.tokens * self.stride()]
    }

    fn scores(self, scratch: &[f32]) -> Matrix<'_> {
        Matrix::new(scratch, self.tokens, self.tokens, self.stride())
    }

    fn scores_mut(self, scratch: &mut [f32]) -> MatrixMut<'_> {
        MatrixMut::new(scratch, self.tokens, self.tokens, self.stride())
    }

    /// The columns of one head in `[tokens, ..]`.
    fn head(self, values: &[f32], first: usize) -> Matrix<'_> {
        Matrix::new(&values[first..], self.tokens, self.head_dim, values.len() / self.tokens)
    }

    fn head_mut(self, values: &mut [f32], first: usize) -> MatrixMut<'_> {
        let stride = values.len() / self.tokens;
        MatrixMut::new(&mut values[first..], self.tokens, self.head_dim, stride)
    }
}

simd! {
    /// The softmax of row `i` over its first `first + more i` values; the rest of the row becomes 0.
    pub(super) fn softmax(scores: &mut [f32], stride: usize, first: usize, more: usize) {
        for (index, row) in scores.chunks_exact_mut(stride).enumerate() {
            let visible = first + more * index;
            row[visible..].fill(f32::NEG_INFINITY);
            let max = largest(row);
            let blocks = row.as_chunks_mut::<LANES>().0;
            let mut lanes = [0.0; LANES];
            for block in blocks.iter_mut() {
                for (lane, score) in lanes.iter_mut().zip(block) {
                    *score = exp::<FMA>(*score - max);
                    *lane += *score;
                }
            }
            let scale = 1.0 / reduce(lanes, |a, b| a + b);
            for score in blocks.as_flattened_mut() {
                *score *= scale;
            }
        }
    }
}

simd! {
    /// `ds ← p (dp - Σ p dp)` in every row, with `dp` given in the first `tokens` values of `scores`.
    pub(super) fn softmax_backward(scores: &mut [f32], probabilities: &[f32], stride: usize, tokens: usize) {
        for (row, p) in scores.chunks_exact_mut(stride).zip(probabilities.chunks_exact(stride)) {
            row[tokens..].fill(0.0);
            let mean = sum_pairs(row, p, |dp, p| dp * p);
            for (dp, &p) in row.iter_mut().zip(p) {
                *dp = p * (*dp - mean);
            }
        }
    }
}
