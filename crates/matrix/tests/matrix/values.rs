//! Products are right, within the bounds that their precision states.

use proptest::prelude::*;
use regulus_matrix::{
    Kernels, Matrix, MatrixMut, Packed, Precision, Settings, Threads, product, product_masked, product_packed,
};

use crate::operands::{Case, Layout, layouts, shapes, values};

const KERNELS: [Kernels; 2] = [Kernels::Native, Kernels::Portable];

/// The error that the documentation of a precision allows, as a multiple of the sum of the terms' magnitudes.
fn bound(precision: Precision, depth: usize) -> f64 {
    let depth = depth as f64;
    match precision {
        Precision::F32 => (depth + 2.0) * 2f64.powi(-24),
        Precision::Bf16x3 => 3.0 * 2f64.powi(-16) + (3.0 * depth + 4.0) * 2f64.powi(-24),
        Precision::Bf16 => 2f64.powi(-7) + (depth + 4.0) * 2f64.powi(-24),
    }
}

/// The largest error, as a multiple of the sum of the terms' magnitudes.
fn error(case: &Case, precision: Precision, kernels: Kernels) -> f64 {
    let settings = Settings { kernels, threads: Threads::This, ..Settings::default() };
    let product = case.product(precision, &settings);
    let relative =
        |(value, (exact, size)): (&f32, (f64, f64))| (f64::from(*value) - exact).abs() / size.max(1e-30);
    product.iter().zip(case.reference()).map(relative).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn errors_stay_within_bounds(shape in shapes(), a in layouts(), b in layouts(), seed in 0..1000u64) {
        let case = Case::new(shape, a, b, seed);
        for precision in Precision::ALL {
            for kernels in KERNELS {
                let error = error(&case, precision, kernels);
                prop_assert!(error <= bound(precision, shape.2), "{precision} {kernels:?}: {error:e}");
            }
        }
    }

    #[test]
    fn factors_sums_and_epilogues_follow_each_other(shape in shapes(), seed in 0..1000u64, add in any::<bool>()) {
        let case = Case::new(shape, Layout::PLAIN, Layout::TURNED, seed);
        let (rows, columns, depth) = shape;
        let epilogue = |row: usize, first: usize, values: &mut [f32]| {
            for (i, value) in values.iter_mut().enumerate() {
                *value = 2.0 * *value + (1000 * row + first + i) as f32;
            }
        };
        let before = values(rows * (columns + 3), 99);
        for precision in Precision::ALL {
            for kernels in KERNELS {
                let settings = Settings { factor: -0.5, accumulate: add, epilogue: Some(&epilogue), kernels, ..Settings::default() };
                let product = case.product(precision, &settings);
                for (i, (exact, size)) in case.reference().into_iter().enumerate() {
                    let (row, column) = (i / columns, i % columns);
                    let old = if add { f64::from(before[row * (columns + 3) + column]) } else { 0.0 };
                    let place = (1000 * row + column) as f64;
                    let expected = 2.0 * (old - 0.5 * exact) + place;
                    let slack = bound(precision, depth) * size + (place + old.abs() + size) * 2f64.powi(-22);
                    prop_assert!((f64::from(product[i]) - expected).abs() <= slack, "{precision} {kernels:?} at {row}, {column}");
                }
            }
        }
    }
}

#[test]
fn large_products_stay_within_bounds() {
    for (shape, a, b) in [
        ((150, 300, 1600), Layout::PLAIN, Layout::TURNED),
        ((300, 150, 777), Layout::TURNED, Layout::PLAIN),
        ((600, 70, 64), Layout::PLAIN, Layout::PLAIN),
    ] {
        let case = Case::new(shape, a, b, 5);
        for precision in Precision::ALL {
            let error = error(&case, precision, Kernels::Native);
            println!("{shape:?} {precision}: {error:.2e}, bound {:.2e}", bound(precision, shape.2));
            assert!(error <= bound(precision, shape.2));
            assert!(
                precision == Precision::F32 || error > bound(precision, 0) / 1000.0,
                "suspiciously exact"
            );
        }
    }
}

#[test]
fn small_integers_are_exact() {
    let a = [1.0, 2.0, 9.0, 3.0, 4.0];
    let b = [1.0, 0.0, 1.0, 2.0];
    let (a, b) = (Matrix::new(&a, 2, 2, 3), Matrix::new(&b, 2, 2, 2));
    for precision in Precision::ALL {
        for kernels in KERNELS {
            let settings = Settings { kernels, ..Settings::default() };
            let mut result = [7.0; 6];
            let twice = Settings { factor: 2.0, ..settings };
            product(MatrixMut::new(&mut result, 2, 2, 4), a, b.transposed(), precision, &twice);
            assert_eq!(result, [2.0, 10.0, 7.0, 7.0, 6.0, 22.0]);
            let add = Settings { accumulate: true, ..settings };
            let packed = Packed::with_kernels(b, precision, kernels);
            product_packed(MatrixMut::new(&mut result, 2, 2, 4), a, &packed, &add);
            assert_eq!(result, [5.0, 14.0, 7.0, 7.0, 13.0, 30.0]);
        }
    }
}

#[test]
fn a_product_without_terms_is_zero() {
    let epilogue = |_: usize, _: usize, values: &mut [f32]| values.iter_mut().for_each(|value| *value += 1.0);
    for precision in Precision::ALL {
        for kernels in KERNELS {
            let settings = Settings { epilogue: Some(&epilogue), kernels, ..Settings::default() };
            let (a, b) = (Matrix::new(&[], 2, 0, 0), Matrix::new(&[], 0, 3, 3));
            let mut result = [5.0; 6];
            product(MatrixMut::new(&mut result, 2, 3, 3), a, b, precision, &settings);
            assert_eq!(result, [1.0; 6]);
            let packed = Packed::with_kernels(b, precision, kernels);
            assert_eq!((packed.bytes(), packed.rows(), packed.columns()), (0, 0, 3));
            let add = Settings { accumulate: true, ..settings };
            product_packed(MatrixMut::new(&mut result, 2, 3, 3), a, &packed, &add);
            assert_eq!(result, [2.0; 6]);
            product_masked(MatrixMut::new(&mut result, 2, 3, 3), a, b, &[], precision, &add);
            assert_eq!(result, [3.0; 6]);
            let none = Matrix::new(&[], 0, 4, 4);
            product(MatrixMut::new(&mut [], 0, 0, 0), none, none.transposed(), precision, &settings);
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    for precision in Precision::ALL {
        for kernels in KERNELS {
            let settings = Settings { kernels, ..Settings::default() };
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut case = Case::new((40, 40, 70), Layout::PLAIN, Layout::PLAIN, 3);
                case.a.0[17 * 70 + 69] = bad;
                case.b.0[33 * 40 + 21] = bad;
                let result = case.product(precision, &settings);
                for (i, value) in result.iter().enumerate() {
                    assert_eq!(
                        value.is_finite(),
                        i / 40 != 17 && i % 40 != 21,
                        "{precision} {kernels:?} {bad} {i}"
                    );
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "do not agree: 2x2 times 1x4 into 2x2")]
fn shapes_must_agree() {
    let values = [0.0; 4];
    let (a, b) = (Matrix::new(&values, 2, 2, 2), Matrix::new(&values, 1, 4, 4));
    product(MatrixMut::new(&mut [0.0; 4], 2, 2, 2), a, b, Precision::F32, &Settings::default());
}
