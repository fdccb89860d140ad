//! Results that must agree to the bit: on any number of threads, packed or not, masked while packing or before, on
//! the matrix unit or emulated.

use proptest::prelude::*;
use regulus_matrix::{Kernels, Matrix, Packed, Precision, Settings, Threads, amx_available};

use crate::operands::{Case, Layout, bits, layouts, shapes, values};

const KERNELS: [Kernels; 2] = [Kernels::Native, Kernels::Portable];

fn on(kernels: Kernels) -> Settings<'static> {
    Settings { factor: 1.5, accumulate: true, threads: Threads::This, kernels, ..Settings::default() }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let pools =
        [1, 2, 3, 16].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    let shapes =
        [(1, 3000, 768), (20, 2304, 300), (77, 512, 512), (197, 768, 260), (1000, 197, 70), (3100, 33, 33)];
    for (shape, layout) in shapes.into_iter().zip([Layout::PLAIN, Layout::TURNED].into_iter().cycle()) {
        let case = Case::new(shape, layout, layout, 11);
        for precision in Precision::ALL {
            let packed = Packed::new(case.b(), precision);
            let alone = bits(&case.product(precision, &on(Kernels::Native)));
            for pool in &pools {
                let settings = Settings { threads: Threads::Pool, ..on(Kernels::Native) };
                let product = pool.install(|| case.product(precision, &settings));
                assert!(bits(&product) == alone, "{shape:?} {precision} {}", pool.current_num_threads());
                let product = pool.install(|| case.product_packed(&packed, &settings));
                assert!(bits(&product) == alone, "{shape:?} {precision} packed");
            }
        }
        let alone = case.product(Precision::F32, &on(Kernels::Portable));
        let settings = Settings { threads: Threads::Pool, ..on(Kernels::Portable) };
        for pool in &pools {
            let product = pool.install(|| case.product(Precision::F32, &settings));
            assert!(bits(&product) == bits(&alone), "{shape:?} portable");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packing_before_changes_nothing(shape in shapes(), a in layouts(), b in layouts(), seed in 0..1000u64) {
        let case = Case::new(shape, a, b, seed);
        for precision in Precision::ALL {
            for kernels in KERNELS {
                let packed = Packed::with_kernels(case.b(), precision, kernels);
                let product = case.product_packed(&packed, &on(kernels));
                prop_assert_eq!(bits(&product), bits(&case.product(precision, &on(kernels))), "{} {:?}", precision, kernels);
            }
        }
    }

    #[test]
    fn masking_while_packing_is_masking(
        shape in shapes(), b in layouts(), seed in 0..1000u64, words in prop::collection::vec(any::<u64>(), 2000)
    ) {
        let mut case = Case::new(shape, Layout::PLAIN, b, seed);
        let original = case.b.0.clone();
        let (height, width) = if b.transposed { (shape.1, shape.2) } else { (shape.2, shape.1) };
        let stride = width * b.spread + b.gap;
        for i in 0..height * width {
            if words[i / 64] >> (i % 64) & 1 == 0 {
                case.b.0[i / width * stride + i % width * b.spread] = 0.0;
            }
        }
        for precision in Precision::ALL {
            for kernels in KERNELS {
                let matrix = b.matrix(&original, shape.2, shape.1);
                let product = case.product_masked(matrix, &words, precision, &on(kernels));
                prop_assert_eq!(bits(&product), bits(&case.product(precision, &on(kernels))), "{} {:?}", precision, kernels);
            }
        }
    }

    #[test]
    fn the_emulation_is_the_unit(
        shape in shapes(), a in layouts(), b in layouts(), seed in 0..1000u64, special in 0..4u32
    ) {
        if !amx_available() {
            println!("skipped: this CPU has no matrix unit");
            return Ok(());
        }
        let mut case = Case::new(shape, a, b, seed);
        for values in [&mut case.a.0, &mut case.b.0] {
            strain(values, special);
        }
        for precision in [Precision::Bf16x3, Precision::Bf16] {
            let unit = case.product(precision, &on(Kernels::Native));
            let emulated = case.product(precision, &on(Kernels::Portable));
            prop_assert_eq!(bits(&unit), bits(&emulated), "{}", precision);
        }
    }
}

/// Replaces values by such as stress the rules of rounding: tiny ones whose products are denormal, denormal ones,
/// zeros of both signs, and in the last case infinite and huge ones.
fn strain(values: &mut [f32], special: u32) {
    for (i, value) in values.iter_mut().enumerate() {
        *value = match (special, i % 7) {
            (0, _) => *value,
            (_, 0) => *value * 2f32.powi(-63),
            (_, 1) => *value * 2f32.powi(-64),
            (2.., 2) => f32::from_bits(i as u32 * 7919 % 0x0080_0000),
            (2.., 3) => 0f32.copysign(*value),
            (_, 2..=5) => *value * 2f32.powi(-62),
            (3, _) if i % 49 == 6 => *value * f32::MAX,
            (3, _) if i % 98 == 13 => f32::NEG_INFINITY,
            _ => *value * 2f32.powi(-65),
        };
    }
}

#[test]
fn a_part_of_a_matrix_is_a_matrix() {
    let stored = values(50 * 60, 1);
    let part = Matrix::new(&stored, 50, 60, 60).part(3..40, 5..54);
    let copy: Vec<f32> = (3..40).flat_map(|row| stored[row * 60 + 5..row * 60 + 54].to_vec()).collect();
    let case = Case { shape: (9, 49, 37), a: (values(9 * 37, 2), Layout::PLAIN), b: (copy, Layout::PLAIN) };
    for precision in Precision::ALL {
        let packed = Packed::new(part, precision);
        let product = case.product_packed(&packed, &on(Kernels::Native));
        assert_eq!(bits(&product), bits(&case.product(precision, &on(Kernels::Native))));
    }
}
