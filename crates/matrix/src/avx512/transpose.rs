//! The transpose of 16 by 16 words in registers.

use std::arch::x86_64::*;

/// Swaps rows and columns.
#[target_feature(enable = "avx512f")]
#[inline]
pub(crate) fn transpose(rows: &mut [__m512i; 16]) {
    // Pairs, then fours of rows within each quarter of a register, then the quarters.
    let mut pairs = *rows;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    let mut fours = pairs;
    for i in [0, 4, 8, 12] {
        fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    for i in 0..4 {
        let top_even = _mm512_shuffle_i32x4::<0x88>(fours[i], fours[i + 4]);
        let top_odd = _mm512_shuffle_i32x4::<0xdd>(fours[i], fours[i + 4]);
        let bottom_even = _mm512_shuffle_i32x4::<0x88>(fours[i + 8], fours[i + 12]);
        let bottom_odd = _mm512_shuffle_i32x4::<0xdd>(fours[i + 8], fours[i + 12]);
        rows[i] = _mm512_shuffle_i32x4::<0x88>(top_even, bottom_even);
        rows[i + 4] = _mm512_shuffle_i32x4::<0x88>(top_odd, bottom_odd);
        rows[i + 8] = _mm512_shuffle_i32x4::<0xdd>(top_even, bottom_even);
        rows[i + 12] = _mm512_shuffle_i32x4::<0xdd>(top_odd, bottom_odd);
    }
}
