//! One side of a product as the packing code sees it: lanes (rows of `a`, columns of `b`) that run along the
//! depth over which the product sums.

use crate::{Matrix, Pieced, Source};

/// A matrix by lanes and depth.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a> {
    Strided(Strided<'a>),
    Pieced(Pieced<'a>),
}

/// A matrix with strides by lanes and depth, with the weights that a mask keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strided<'a> {
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

/// Up to 16 runs of up to 16 adjacent values each.
#[derive(Debug)]
pub(crate) struct Runs<'a> {
    /// The values from the first run's start to the last one's end.
    pub(crate) values: &'a [f32],
    /// From the start of a run to that of the next one.
    pub(crate) stride: usize,
    /// The number of runs.
    pub(crate) count: usize,
    /// The number of values of a run.
    pub(crate) length: usize,
    /// For each run a bit for each value that is there and counts, if not all that are there count.
    pub(crate) masks: Option<[u16; 16]>,
}

impl<'a> Operand<'a> {
    /// The left-hand side of a product.
    pub(crate) fn left(source: Source<'a>) -> Self {
        match source {
            Source::Strided(lanes) => Self::Strided(Strided { lanes, keep: None }),
            Source::Pieced(lanes) => Self::Pieced(lanes),
        }
    }

    /// The right-hand side of a product.
    pub(crate) fn right(source: Source<'a>) -> Self {
        Self::left(source.transposed())
    }

    pub(crate) fn lanes(&self) -> usize {
        match self {
            Self::Strided(operand) => operand.lanes.rows(),
            Self::Pieced(lanes) => lanes.rows(),
        }
    }

    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Strided(operand) => operand.lanes.columns(),
            Self::Pieced(lanes) => lanes.columns(),
        }
    }

    pub(crate) fn order(&self) -> Order {
        match self {
            Self::Strided(operand) => operand.order(),
            Self::Pieced(lanes) if lanes.is_transposed() => Order::AcrossLanes,
            Self::Pieced(_) => Order::AlongDepth,
        }
    }

    /// The value at a place, 0 where a mask says so.
    pub(crate) fn value(&self, lane: usize, depth: usize) -> f32 {
        match self {
            Self::Strided(operand) => operand.value(lane, depth),
            Self::Pieced(lanes) => lanes.value(lane, depth),
        }
    }
}

impl<'a> Strided<'a> {
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

    /// The matrix that is the right-hand side, without its mask.
    pub(crate) fn matrix(&self) -> Matrix<'a> {
        self.lanes.transposed()
    }

    pub(crate) fn is_masked(&self) -> bool {
        self.keep.is_some()
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
        assert!(lane < self.lanes.rows() && depth < self.lanes.columns(), "a place outside of the operand");
        if self.kept(lane, depth) & 1 == 0 {
            return 0.0;
        }
        self.lanes.values()[self.index(lane, depth)]
    }

    /// The values of a block of `lanes` by `depths` from a place on, up to 16 each and none of them 0, in an operand
    /// that is not scattered: from the first to the last, with the stride from one run of adjacent values to the
    /// next, and the length of a run.
    #[inline]
    pub(crate) fn runs(&self, lane: usize, lanes: usize, depth: usize, depths: usize) -> Runs<'a> {
        assert!(
            lane + lanes <= self.lanes.rows() && depth + depths <= self.lanes.columns(),
            "a block outside of the operand"
        );
        let along = self.order() == Order::AlongDepth;
        let (count, length, stride) = if along {
            (lanes, depths, self.lanes.row_stride())
        } else {
            (depths, lanes, self.lanes.column_stride())
        };
        let start = self.index(lane, depth);
        let values = &self.lanes.values()[start..start + (count - 1) * stride + length];
        let masks = self.keep.map(|_| {
            let mut masks = [0; 16];
            for (i, mask) in masks[..count].iter_mut().enumerate() {
                let run = if along { self.kept(lane + i, depth) } else { self.kept(lane, depth + i) };
                *mask = run & (u16::MAX >> (16 - length));
            }
            masks
        });
        Runs { values, stride, count, length, masks }
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
            depth * self.lanes.rows() + lane
        } else {
            lane * self.lanes.columns() + depth
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
            [Strided::masked_right(matrix, &words), Strided::masked_right(matrix.transposed(), &words)]
        {
            let turned = operand.lanes.is_transposed();
            let kept =
                |row, column| if turned { operand.value(column, row) } else { operand.value(row, column) };
            assert_eq!((kept(0, 0), kept(0, 1), kept(1, 0)), (0.0, 2.0, 0.0));
            assert_eq!((kept(6, 3), kept(6, 4), kept(7, 1)), (64.0, 0.0, 72.0));
        }
        let runs = Strided::masked_right(matrix.transposed(), &words).runs(6, 2, 3, 7);
        assert_eq!((runs.values[0], runs.values.len(), runs.stride), (64.0, 17, 10));
        assert_eq!(runs.masks.unwrap()[..3], [1, 0, 0]);
        let runs = Strided::masked_right(matrix, &words).runs(1, 9, 7, 1);
        assert_eq!((runs.values[0], runs.values.len(), runs.masks.unwrap()[0]), (72.0, 9, 1));
    }
}
