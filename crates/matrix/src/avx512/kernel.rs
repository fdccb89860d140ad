//! The f32 kernel: up to 14 rows by 32 columns of a result in registers, over one pass of the depth.
//!
//! 28 registers hold sums, two hold a line of the panel each and one a value of the strip; two multiplications per
//! load keep both units of the CPU busy.

use std::arch::x86_64::*;

use crate::MatrixMut;
use crate::lines::Line;

/// Rows of a strip.
pub(super) const MOST_ROWS: usize = 14;

/// Sets `out` to `factor a b`, or adds that to it. `a` holds a line, `b` two lines per depth; the lines `ahead` are
/// brought to the second cache meanwhile.
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
pub(super) fn multiply(
    mut out: MatrixMut,
    a: &[Line],
    b: &[Line],
    ahead: &[Line],
    factor: f32,
    accumulate: bool,
) {
    assert!(b.len() == 2 * a.len() && (1..=32).contains(&out.columns()), "not a block of the kernel");
    out.prefetch();
    let call = Call {
        a: a.as_ptr().cast(),
        b: b.as_ptr().cast(),
        ahead: ahead.as_ptr().cast(),
        pace: 64 * ahead.len() / a.len(),
        depth: a.len(),
        out: out.as_mut_ptr(),
        stride: out.stride(),
        columns: u32::MAX >> (32 - out.columns()),
        factor,
        accumulate,
    };
    // SAFETY: the operands have as many lines as the assertion says, `out` has as many rows as the kernel, and the
    // columns that it has not are masked out.
    unsafe {
        match out.rows() {
            1 => rows::<1>(&call),
            2 => rows::<2>(&call),
            3 => rows::<3>(&call),
            4 => rows::<4>(&call),
            5 => rows::<5>(&call),
            6 => rows::<6>(&call),
            7 => rows::<7>(&call),
            8 => rows::<8>(&call),
            9 => rows::<9>(&call),
            10 => rows::<10>(&call),
            11 => rows::<11>(&call),
            12 => rows::<12>(&call),
            13 => rows::<13>(&call),
            14 => rows::<14>(&call),
            rows => panic!("a strip of {rows} rows"),
        }
    }
}

struct Call {
    a: *const f32,
    b: *const f32,
    ahead: *const i8,
    /// Bytes to ask for per depth.
    pace: usize,
    depth: usize,
    out: *mut f32,
    stride: usize,
    columns: u32,
    factor: f32,
    accumulate: bool,
}

/// The kernel for `R` rows.
///
/// # Safety
/// `a` holds `16 depth` values and `b` `32 depth`, both aligned to 64 bytes; `out` is valid for the columns of
/// each of `R` rows.
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
unsafe fn rows<const R: usize>(call: &Call) {
    // SAFETY: every offset is less than what the caller vouches for; masked lanes are not touched.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); 2]; R];
        let (mut a, mut b, mut ahead) = (call.a, call.b, call.ahead);
        for _ in 0..call.depth {
            let (left, right) = (_mm512_load_ps(b), _mm512_load_ps(b.add(16)));
            for (row, sum) in sums.iter_mut().enumerate() {
                let value = _mm512_set1_ps(*a.add(row));
                sum[0] = _mm512_fmadd_ps(value, left, sum[0]);
                sum[1] = _mm512_fmadd_ps(value, right, sum[1]);
            }
            _mm_prefetch::<_MM_HINT_T1>(ahead);
            ahead = ahead.wrapping_add(call.pace);
            a = a.add(16);
            b = b.add(32);
        }
        let factor = _mm512_set1_ps(call.factor);
        for (row, sum) in sums.iter().enumerate() {
            for (half, &sum) in sum.iter().enumerate() {
                let out = call.out.wrapping_add(row * call.stride + 16 * half);
                let mask = (call.columns >> (16 * half)) as u16;
                let value = if call.accumulate {
                    _mm512_fmadd_ps(factor, sum, _mm512_maskz_loadu_ps(mask, out))
                } else {
                    _mm512_mul_ps(factor, sum)
                };
                _mm512_mask_storeu_ps(out, mask, value);
            }
        }
    }
}
