//! Loops compiled once per instruction set, and the exponential that they share.
//!
//! The crate is built for the baseline of its target. [`simd!`] compiles a function again for AVX2 and for
//! AVX-512 and picks the widest of the running processor, so that plain loops over slices become vector
//! code. Results are bit-identical from run to run on one processor; between processors they differ in
//! rounding.

/// Terms that a vectorised sum accumulates side by side.
pub(crate) const LANES: usize = 16;

/// Defines a function that is compiled for several instruction sets.
///
/// Inside the body the constant `FMA` says whether a multiply-add is one instruction; helpers must be
/// `#[inline(always)]` to be compiled with the body.
macro_rules! simd {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $kind),*) {
            #[inline(always)]
            fn body<const FMA: bool>($($argument: $kind),*) $body

            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
                fn avx512($($argument: $kind),*) {
                    body::<true>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $kind),*) {
                    body::<true>($($argument),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the processor has the features that the function was compiled for.
                    return unsafe { avx512($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the features that the function was compiled for.
                    return unsafe { avx2($($argument),*) };
                }
            }
            body::<{ cfg!(target_arch = "aarch64") }>($($argument),*)
        }
    };
}
pub(crate) use simd;

/// `a b + c`, rounded once where that is one instruction.
#[inline(always)]
pub(crate) fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// A polynomial by Horner's rule, lowest coefficient first.
#[inline(always)]
pub(crate) fn polynomial<const FMA: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    coefficients.into_iter().rev().reduce(|sum, next| multiply_add::<FMA>(sum, x, next)).unwrap_or(0.0)
}

/// `exp(x)` within 2 units in the last place, without branches.
///
/// Below -87.33 the result is 0 (it would be subnormal), above 88.37 infinity; NaN stays NaN.
/// With `x = n ln 2 + r`, `exp(x) = 2ⁿ exp(r)`; a minimax polynomial (relative error 3.1e-9) gives `exp(r)`
/// on `|r| ≤ ln 2 / 2`, and `ln 2` is split in two so that `r` keeps its low bits (Cody and Waite 1980).
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    /// Adding it rounds to an integer, which then stands in the low bits: 1.5 · 2²³.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const REST: [f32; 5] = [0.499_999_94, 0.166_665_21, 0.041_668_39, 8.368_745e-3, 1.381_454e-3];

    let shifted = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = multiply_add::<FMA>(n, -LN_2_LOW, multiply_add::<FMA>(n, -LN_2_HIGH, x));
    let rest = polynomial::<FMA, 5>(r, REST);
    let exp_r = multiply_add::<FMA>(r * r, rest, r) + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let exp = exp_r * power;
    if x < -87.336_54 {
        0.0
    } else if x > 88.376_25 {
        f32::INFINITY
    } else {
        exp
    }
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// `Σ term(a_i, b_i)` over two slices of one length, in [`LANES`] interleaved partial sums.
#[inline(always)]
pub(crate) fn sum_pairs(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += term(a, b);
        }
    }
    for ((lane, &a), &b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += term(a, b);
    }
    reduce(lanes, |a, b| a + b)
}

/// The largest of some values; NaN is never it.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane = larger(*lane, value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, value);
    }
    reduce(lanes, larger)
}

/// `b` if it is larger than `a`, which it is not if it is NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Combines the lanes pairwise, in a fixed order.
#[inline(always)]
pub(crate) fn reduce(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        let (low, high) = lanes.split_at_mut(width);
        for (low, &mut high) in low.iter_mut().zip(high) {
            *low = combine(*low, high);
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    simd! {
        fn exp_all(values: &mut [f32]) {
            for value in values {
                *value = exp::<FMA>(*value);
            }
        }
    }

    fn exp_baseline(values: &mut [f32]) {
        for value in values {
            *value = exp::<false>(*value);
        }
    }

    /// The distance of `got` from the exact value in units of the last place of the exact value.
    fn ulps(got: f32, exact: f64) -> f64 {
        let magnitude = exact as f32;
        let unit = f64::from(f32::from_bits(magnitude.to_bits() + 1)) - f64::from(magnitude);
        (f64::from(got) - exact).abs() / unit
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let arguments: Vec<f32> = (0..2_000_000).map(|i| -87.3 + 175.6 * i as f32 / 2_000_000.0).collect();
        for exp_slice in [exp_all, exp_baseline] {
            let mut values = arguments.clone();
            exp_slice(&mut values);
            let worst = arguments
                .iter()
                .zip(&values)
                .map(|(&x, &got)| ulps(got, f64::from(x).exp()))
                .fold(0.0, f64::max);
            assert!(worst < 2.0, "{worst} units");
        }
    }

    #[test]
    fn exp_saturates_and_keeps_nan() {
        let mut values =
            [f32::NEG_INFINITY, -1e30, -88.0, -0.0, 0.0, 88.0, 89.0, 1e30, f32::INFINITY, f32::NAN];
        exp_all(&mut values);
        assert_eq!(values[..3], [0.0; 3]);
        assert_eq!(values[3..5], [1.0; 2]);
        assert!(values[5].is_finite());
        assert_eq!(values[6..9], [f32::INFINITY; 3]);
        assert!(values[9].is_nan());
    }

    #[test]
    fn sums_take_every_term() {
        for length in [0, 1, 15, 16, 17, 100] {
            let a: Vec<f32> = (0..length).map(|i| i as f32).collect();
            let expected: f32 = a.iter().map(|a| a * 2.0).sum();
            assert_eq!(sum_pairs(&a, &a, |a, b| a + b), expected);
        }
    }
}
