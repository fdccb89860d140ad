//! One side of a product as the packing code sees it: lanes (rows of `a`, columns of `b`) that run along the
//! depth over which the product sums.

use crate::Matrix;

/// A matrix by lanes and depth, with the weights that a mask keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand<'a> {
    lanes: Matrix<'a>,
    keep: Option<&'a [u64]>,
}

/// How the values of an operand lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The values of a lane are adjacent.
    AlongDepth,
    /// The values at a depth are adjacent.
    AcrossLanes,
    /// Neither.
    Scattered,
}

impl<'a> Operand<'a> {
    /// The left-hand side of a product.
    pub(crate) fn left(matrix: Matrix<'a>) -> Self {
        Self { lanes: matrix, keep: None }
    }

    /// The right-hand side of a product.
    pub(crate) fn right(matrix: Matrix<'a>) -> Self {
        Self { lanes: matrix.transposed(), keep: None }
    }

    /// The right-hand side of a product, with those weights set to zero whose bit is not set. The bits follow the
    /// rows of the matrix before any transposition.
    pub(crate) fn masked_right(matrix: Matrix<'a>, keep: &'a [u64]) -> Self {
        let weights = matrix.rows() * matrix.columns();
        assert!(keep.len() >= weights.div_ceil(64), "the mask has fewer bits than the matrix has weights");
        Self { lanes: matrix.transposed(), keep: Some(keep) }
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes.rows()
    }

    pub(crate) fn depth(&self) -> usize {
        self.lanes.columns()
    }

    pub(crate) fn order(&self) -> Order {
        // The bits of a mask follow the stored rows: along them, 16 weights have 16 adjacent bits.
        let (by_lane, by_depth) = (!self.lanes.is_transposed(), self.lanes.is_transposed());
        if self.lanes.column_stride() == 1 && (self.keep.is_none() || by_lane) {
            Order::AlongDepth
        } else if self.lanes.row_stride() == 1 && (self.keep.is_none() || by_depth) {
            Order::AcrossLanes
        } else {
            Order::Scattered
        }
    }

    /// The value at a place, 0 where the mask says so.
    pub(crate) fn value(&self, lane: usize, depth: usize) -> f32 {
        assert!(lane < self.lanes() && depth < self.depth(), "a place outside of the operand");
        if self.kept(lane, depth) & 1 == 0 {
            return 0.0;
        }
        self.lanes.values()[self.index(lane, depth)]
    }

    /// `count` adjacent values from a place on, along the order of the operand, and a bit for each of the next 16
    /// that tells whether it counts.
    #[inline]
    pub(crate) fn run(&self, lane: usize, depth: usize, count: usize) -> (&'a [f32], u16) {
        let start = self.index(lane, depth);
        (&self.lanes.values()[start..start + count], self.kept(lane, depth))
    }

    #[inline]
    fn index(&self, lane: usize, depth: usize) -> usize {
        lane * self.lanes.row_stride() + depth * self.lanes.column_stride()
    }

    /// The mask of 16 weights that follow each other in a stored row.
    #[inline]
    fn kept(&self, lane: usize, depth: usize) -> u16 {
        let Some(words) = self.keep else { return u16::MAX };
        let bit = if self.lanes.is_transposed() {
            depth * self.lanes() + lane
        } else {
            lane * self.depth() + depth
        };
        let (word, shift) = (bit / 64, bit % 64);
        let low = words.get(word).map_or(0, |bits| bits >> shift);
        let high = words.get(word + 1).map_or(0, |bits| (bits << 1) << (63 - shift));
        (low | high) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_follow_the_stored_rows() {
        let values: Vec<f32> = (1..=100).map(|value| value as f32).collect();
        let matrix = Matrix::new(&values, 10, 10, 10);
        let words = [1 << 63 | 1 << 1, 1 << 7];
        for operand in
            [Operand::masked_right(matrix, &words), Operand::masked_right(matrix.transposed(), &words)]
        {
            let turned = operand.lanes.is_transposed();
            let kept =
                |row, column| if turned { operand.value(column, row) } else { operand.value(row, column) };
            assert_eq!((kept(0, 0), kept(0, 1), kept(1, 0)), (0.0, 2.0, 0.0));
            assert_eq!((kept(6, 3), kept(6, 4), kept(7, 1)), (64.0, 0.0, 72.0));
        }
        let (run, kept) = Operand::masked_right(matrix.transposed(), &words).run(6, 3, 7);
        assert_eq!((run[0], run.len(), kept), (64.0, 7, 1 | 1 << 8));
    }
}
