//! Random operands and the product in f64, for all tests.

use proptest::prelude::*;
use regulus_matrix::{
    Matrix, MatrixMut, Packed, Precision, Settings, product, product_masked, product_packed,
};

/// Values that look random, in [-1, 1).
pub fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// How an operand lies in memory.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub transposed: bool,
    pub gap: usize,
    pub spread: usize,
}

impl Layout {
    pub const PLAIN: Self = Self { transposed: false, gap: 0, spread: 1 };
    pub const TURNED: Self = Self { transposed: true, gap: 0, spread: 1 };

    /// The number of values of a matrix.
    pub fn length(self, rows: usize, columns: usize) -> usize {
        let (rows, columns) = if self.transposed { (columns, rows) } else { (rows, columns) };
        if rows == 0 || columns == 0 {
            0
        } else {
            (rows - 1) * self.stride(columns) + (columns - 1) * self.spread + 1
        }
    }

    fn stride(self, columns: usize) -> usize {
        columns * self.spread + self.gap
    }

    pub fn matrix(self, values: &[f32], rows: usize, columns: usize) -> Matrix<'_> {
        if self.transposed {
            Matrix::with_strides(values, columns, rows, self.stride(rows), self.spread).transposed()
        } else {
            Matrix::with_strides(values, rows, columns, self.stride(columns), self.spread)
        }
    }
}

pub fn layouts() -> impl Strategy<Value = Layout> {
    (any::<bool>(), 0..4usize, prop_oneof![4 => Just(1), 1 => 2..4usize])
        .prop_map(|(transposed, gap, spread)| Layout { transposed, gap, spread })
}

/// Rows, columns and depth of a product: around the sizes of tiles, strips and passes.
pub fn shapes() -> impl Strategy<Value = (usize, usize, usize)> {
    let side =
        || prop_oneof![1..20usize, 20..70usize, Just(1), Just(14), Just(16), Just(32), Just(77), Just(197)];
    let depth = prop_oneof![1..70usize, Just(32), Just(64), 250..260usize, 500..600usize];
    (side(), side(), depth)
}

/// One product of random operands.
pub struct Case {
    pub shape: (usize, usize, usize),
    pub a: (Vec<f32>, Layout),
    pub b: (Vec<f32>, Layout),
}

impl Case {
    pub fn new(shape: (usize, usize, usize), a: Layout, b: Layout, seed: u64) -> Self {
        let (rows, columns, depth) = shape;
        Self {
            shape,
            a: (values(a.length(rows, depth), seed), a),
            b: (values(b.length(depth, columns), seed + 1), b),
        }
    }

    pub fn a(&self) -> Matrix<'_> {
        self.a.1.matrix(&self.a.0, self.shape.0, self.shape.2)
    }

    pub fn b(&self) -> Matrix<'_> {
        self.b.1.matrix(&self.b.0, self.shape.2, self.shape.1)
    }

    /// The product, on top of what the rows of a result with a gap hold.
    pub fn product(&self, precision: Precision, settings: &Settings) -> Vec<f32> {
        self.on_result(|out| product(out, self.a(), self.b(), precision, settings))
    }

    pub fn product_packed(&self, packed: &Packed, settings: &Settings) -> Vec<f32> {
        self.on_result(|out| product_packed(out, self.a(), packed, settings))
    }

    /// The product of `a` and those values of `b` whose bits are set.
    pub fn product_masked(
        &self,
        b: Matrix,
        words: &[u64],
        precision: Precision,
        settings: &Settings,
    ) -> Vec<f32> {
        self.on_result(|out| product_masked(out, self.a(), b, words, precision, settings))
    }

    fn on_result(&self, work: impl FnOnce(MatrixMut)) -> Vec<f32> {
        let (rows, columns, _) = self.shape;
        let mut result = values(rows * (columns + 3), 99);
        let before = result.clone();
        work(MatrixMut::new(&mut result, rows, columns, columns + 3));
        for row in 0..rows {
            let gap = row * (columns + 3) + columns..(row + 1) * (columns + 3);
            assert_eq!(result[gap.clone()], before[gap], "values between rows were changed");
        }
        result.chunks(columns + 3).flat_map(|row| row[..columns].to_vec()).collect()
    }

    /// The product in f64, and the sum of the magnitudes of its terms.
    pub fn reference(&self) -> Vec<(f64, f64)> {
        let (rows, columns, depth) = self.shape;
        let strides = |layout: Layout, width: usize, height: usize| {
            if layout.transposed {
                (layout.spread, layout.stride(height))
            } else {
                (layout.stride(width), layout.spread)
            }
        };
        let (a, b) = (strides(self.a.1, depth, rows), strides(self.b.1, columns, depth));
        let mut sums = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            for column in 0..columns {
                let terms = (0..depth).map(|k| {
                    let (left, right) = (self.a.0[row * a.0 + k * a.1], self.b.0[k * b.0 + column * b.1]);
                    f64::from(left) * f64::from(right)
                });
                sums.push(terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs())));
            }
        }
        sums
    }
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }).collect()
}
