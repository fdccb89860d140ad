//! The instruction TDPBF16PS in plain Rust, to the bit.
//!
//! As Intel's manual (volume 2, TDPBF16PS) defines it: each element of a result sums the products of the even
//! members of 16 pairs and those of the odd members apart, each by fused multiplications and additions from zero
//! on; the two sums are added, and their sum is added to the element. Denormal inputs count as zero, denormal
//! results become zero, rounding is to the nearest even. The flags of the CPU play no part.
//!
//! Rows are computed without regard to denormal results; a row that meets one is computed again, carefully.

use super::TILE;
use crate::lines::Line;

/// Adds the product of a strip of `tiles` tiles and a panel to the sums, two lines per row.
#[allow(unsafe_code)]
pub(super) fn add(split: bool, tiles: usize, a: &[Line], b: &[Line], sums: &mut [Line]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn with_avx512(split: bool, tiles: usize, a: &[Line], b: &[Line], sums: &mut [Line]) {
            add_rows(split, tiles, a, b, sums);
        }
        #[target_feature(enable = "avx2,fma")]
        fn with_avx2(split: bool, tiles: usize, a: &[Line], b: &[Line], sums: &mut [Line]) {
            add_rows(split, tiles, a, b, sums);
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: this processor has the instructions that the function is compiled for.
            return unsafe { with_avx512(split, tiles, a, b, sums) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return unsafe { with_avx2(split, tiles, a, b, sums) };
        }
    }
    add_rows(split, tiles, a, b, sums);
}

/// The same, compiled for the instructions of its caller.
#[inline(always)]
fn add_rows(split: bool, tiles: usize, a: &[Line], b: &[Line], sums: &mut [Line]) {
    let parts = if split { 2 } else { 1 };
    // The order in which the kernels of the matrix unit take the parts: high by low, high by high, low by high.
    let products: &[(usize, usize)] = if split { &[(0, 1), (0, 0), (1, 0)] } else { &[(0, 0)] };
    for (a, b) in a.chunks_exact(tiles * parts * TILE).zip(b.chunks_exact(2 * parts * TILE)) {
        for (part_a, part_b) in products {
            let (a, b) = (&a[part_a * tiles * TILE..], &b[part_b * 2 * TILE..]);
            for half in 0..2 {
                let tile = Tile::of(&b[half * TILE..(half + 1) * TILE]);
                for row in 0..tiles * TILE {
                    multiply_row(&mut sums[2 * row + half], &a[row], &tile);
                }
            }
        }
    }
}

/// The even and the odd members of 16 pairs in each of 16 columns.
struct Tile {
    even: [[f32; 16]; TILE],
    odd: [[f32; 16]; TILE],
}

impl Tile {
    #[inline(always)]
    fn of(lines: &[Line]) -> Self {
        let mut tile = Self { even: [[0.0; 16]; TILE], odd: [[0.0; 16]; TILE] };
        for ((even, odd), line) in tile.even.iter_mut().zip(&mut tile.odd).zip(lines) {
            for ((even, odd), pair) in even.iter_mut().zip(odd).zip(line.0) {
                (*even, *odd) = members(pair);
            }
        }
        tile
    }
}

/// The even and the odd member of a pair.
#[inline(always)]
fn members(pair: u32) -> (f32, f32) {
    (flushed(f32::from_bits(pair << 16)), flushed(f32::from_bits(pair & 0xffff_0000)))
}

/// One row of the result of a TDPBF16PS.
#[inline(always)]
fn multiply_row(sums: &mut Line, a: &Line, b: &Tile) {
    let (mut even, mut odd) = ([0f32; 16], [0f32; 16]);
    let mut smallest = [u32::MAX; 16];
    for ((pair, b_even), b_odd) in a.0.iter().zip(&b.even).zip(&b.odd) {
        let (a_even, a_odd) = members(*pair);
        for column in 0..16 {
            even[column] = a_even.mul_add(b_even[column], even[column]);
            odd[column] = a_odd.mul_add(b_odd[column], odd[column]);
            let rank = rank(even[column]).min(rank(odd[column]));
            smallest[column] = smallest[column].min(rank);
        }
    }
    if smallest.iter().any(|smallest| *smallest <= rank(f32::MIN_POSITIVE)) {
        (even, odd) = summed_carefully(a, b);
    }
    for ((sum, even), odd) in sums.0.iter_mut().zip(even).zip(odd) {
        let added = flushed(even + odd);
        *sum = flushed(flushed(f32::from_bits(*sum)) + added).to_bits();
    }
}

/// Orders numbers by size but for zero, which comes last.
#[inline(always)]
fn rank(x: f32) -> u32 {
    (x.to_bits() << 1).wrapping_sub(1)
}

/// The sums of the even and of the odd products where one of them may have been denormal on the way.
#[cold]
#[inline(never)]
fn summed_carefully(a: &Line, b: &Tile) -> ([f32; 16], [f32; 16]) {
    let (mut even, mut odd) = ([0f32; 16], [0f32; 16]);
    for ((pair, b_even), b_odd) in a.0.iter().zip(&b.even).zip(&b.odd) {
        let (a_even, a_odd) = members(*pair);
        for column in 0..16 {
            even[column] = fused(a_even, b_even[column], even[column]);
            odd[column] = fused(a_odd, b_odd[column], odd[column]);
        }
    }
    (even, odd)
}

/// Zero of the same sign in place of a denormal value. Sums of two f32 values are exact where they are denormal.
#[inline(always)]
fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

/// `a b + c`, rounded once, zero where the value that has 24 bits in any exponent is below the smallest normal one.
fn fused(a: f32, b: f32, c: f32) -> f32 {
    let sum = a.mul_add(b, c);
    if sum.abs() == f32::MIN_POSITIVE {
        // Rounded up from a denormal value, or not: the larger factor is at most about one here or the sum is exact.
        let scale = 2f32.powi(24);
        let (small, large) = if a.abs() < b.abs() { (a, b) } else { (b, a) };
        if (small * scale).mul_add(large, c * scale).abs() < f32::MIN_POSITIVE * scale {
            return 0f32.copysign(sum);
        }
    }
    flushed(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(low: f32, high: f32) -> u32 {
        high.to_bits() & 0xffff_0000 | low.to_bits() >> 16
    }

    #[test]
    fn even_and_odd_members_are_summed_apart() {
        let (mut a, mut sums) = (Line::ZERO, Line::ZERO);
        let b = [Line([pair(1.0, 1.0); 16]); 16];
        // Apart, 2^24 + 1 + 1 loses both ones; a single chain of sums would cancel first and keep one.
        a.0[0] = pair(2f32.powi(24), -(2f32.powi(24)));
        a.0[1] = pair(1.0, 0.0);
        sums.0[3] = 2f32.to_bits();
        multiply_row(&mut sums, &a, &Tile::of(&b));
        assert_eq!(f32::from_bits(sums.0[0]), 0.0);
        assert_eq!(f32::from_bits(sums.0[3]), 2.0);
    }

    #[test]
    fn denormals_are_zero() {
        let (mut a, mut sums) = (Line::ZERO, Line([1; 16]));
        let b = [Line([pair(0.5, 2f32.powi(100)); 16]); 16];
        a.0[0] = pair(f32::MIN_POSITIVE, 0.0) | 0x0040_0000;
        multiply_row(&mut sums, &a, &Tile::of(&b));
        assert_eq!(sums.0, [0; 16]);
    }

    #[test]
    fn rows_are_computed_carefully_where_that_matters() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let mut careful = 0;
        for case in 0..2000 {
            // Products of numbers around 2^-64 are around the smallest normal number; others are far from it.
            let exponent = if case % 2 == 0 { 60 } else { 100 };
            let mut member = || ((next() % 2) << 15) | ((exponent + next() % 8) << 7) | (next() % 128);
            let mut pair = || (member() << 16) | member();
            let a = Line(std::array::from_fn(|_| pair()));
            let b: [Line; TILE] = std::array::from_fn(|_| Line(std::array::from_fn(|_| pair())));
            let tile = Tile::of(&b);
            let (even, odd) = summed_carefully(&a, &tile);
            careful += usize::from(even.iter().chain(&odd).any(|sum| *sum == 0.0));
            let mut sums = Line::ZERO;
            multiply_row(&mut sums, &a, &tile);
            let expected: [u32; 16] =
                std::array::from_fn(|column| flushed(0.0 + flushed(even[column] + odd[column])).to_bits());
            assert_eq!(sums.0, expected, "case {case}");
        }
        assert!(careful > 10, "{careful}");
    }
}
