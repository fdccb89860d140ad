//! Operands whose rows are in pieces give the bits of matrices that hold the same, and nothing beside them is read.

use proptest::prelude::*;
use regulus_matrix::{Kernels, Matrix, MatrixMut, Pieced, Precision, Settings, Source, Threads, product};

use crate::operands::{bits, values};
use crate::pages::Pages;

/// Where the rows of an operand and their pieces lie.
#[derive(Debug, Clone)]
struct Places {
    starts: Vec<usize>,
    lines: Vec<usize>,
    width: usize,
}

impl Places {
    fn length(&self) -> usize {
        self.starts.iter().max().unwrap() + self.lines.iter().max().unwrap() + self.width
    }

    fn pieced<'a>(&'a self, values: &'a [f32]) -> Pieced<'a> {
        Pieced::new(values, &self.starts, &self.lines, self.width)
    }

    /// The rows one after the other.
    fn joined(&self, values: &[f32]) -> Vec<f32> {
        let pieces = self.starts.iter().flat_map(|start| self.lines.iter().map(move |line| start + line));
        pieces.flat_map(|place| &values[place..][..self.width]).copied().collect()
    }
}

fn places() -> impl Strategy<Value = Places> {
    let places = |counts| prop::collection::vec(0..60usize, counts);
    let widths = prop_oneof![1..40usize, Just(1), Just(2), Just(7), Just(16), 40..70usize];
    (places(2..50), places(2..9), widths).prop_map(|(starts, lines, width)| Places { starts, lines, width })
}

/// The product of `a` and `b` on top of a result, by the f32 or bf16 kernels.
fn sum<'a>(
    a: impl Into<Source<'a>>,
    b: impl Into<Source<'a>>,
    (precision, kernels): (Precision, Kernels),
    threads: Threads,
) -> Vec<f32> {
    let (a, b) = (a.into(), b.into());
    let (rows, columns) = (a.rows(), b.columns());
    let mut result = values(rows * columns, 5);
    let settings = Settings { accumulate: true, threads, kernels, ..Settings::default() };
    product(MatrixMut::new(&mut result, rows, columns, columns), a, b, precision, &settings);
    result
}

fn ways() -> impl Iterator<Item = (Precision, Kernels)> {
    let kernels = [Kernels::Native, Kernels::Portable];
    Precision::ALL.into_iter().flat_map(move |precision| kernels.map(|kernels| (precision, kernels)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_give_the_bits_of_whole_rows(places in places(), other in 2..40usize, at_end: bool, seed in 0..1000u64) {
        let length = places.length();
        let mut pages = Pages::new(length);
        let stored = pages.values(length, at_end);
        stored.copy_from_slice(&values(length, seed));
        let (rows, columns) = (places.starts.len(), places.lines.len() * places.width);
        let (pieced, joined) = (places.pieced(stored), places.joined(stored));
        let whole = Matrix::new(&joined, rows, columns, columns);
        let beside = values(other * rows.max(columns), seed + 1);
        let before = |depth| Matrix::new(&beside, other, depth, depth);
        let behind = |depth| Matrix::new(&beside, depth, other, other);
        for way in ways() {
            for threads in [Threads::This, Threads::Pool] {
                for (ours, expected, what) in [
                    (sum(pieced, behind(columns), way, threads), sum(whole, behind(columns), way, threads), "left"),
                    (
                        sum(pieced.transposed(), behind(rows), way, threads),
                        sum(whole.transposed(), behind(rows), way, threads),
                        "left, turned",
                    ),
                    (sum(before(rows), pieced, way, threads), sum(before(rows), whole, way, threads), "right"),
                    (
                        sum(before(columns), pieced.transposed(), way, threads),
                        sum(before(columns), whole.transposed(), way, threads),
                        "right, turned",
                    ),
                ] {
                    prop_assert_eq!(bits(&ours), bits(&expected), "{:?} {}", way, what);
                }
            }
        }
    }
}
