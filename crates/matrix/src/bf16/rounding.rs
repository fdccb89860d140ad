//! f32 values to bf16 as the CPU's own instruction (VCVTNE2PS2BF16) converts them.

/// Rounds to the nearest bf16, to the even one of two. Denormal values become zero, NaN stays NaN.
pub(super) fn round(value: f32) -> u16 {
    let bits = value.to_bits();
    let high = (bits >> 16) as u16;
    if value.is_nan() {
        high | 0x40
    } else if value.is_subnormal() {
        high & 0x8000
    } else {
        ((bits + 0x7fff + u32::from(high & 1)) >> 16) as u16
    }
}

/// The value of bf16 bits.
pub(super) fn value(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The rounded value, and the rounded rest.
pub(super) fn split(x: f32) -> (u16, u16) {
    let high = round(x);
    (high, round(x - value(high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_even() {
        let ulp = 2f32.powi(-7);
        for (x, expected) in [
            (1.0, 1.0),
            (1.0 + 0.5 * ulp, 1.0),
            (1.0 + 1.5 * ulp, 1.0 + 2.0 * ulp),
            (1.0 + 0.51 * ulp, 1.0 + ulp),
            (f32::MAX, f32::INFINITY),
            (-1e-40, -0.0),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            assert_eq!(value(round(x)).to_bits(), expected.to_bits(), "{x}");
        }
        assert!(value(round(f32::from_bits(0x7f80_0001))).is_nan());
    }

    #[test]
    fn two_parts_keep_sixteen_bits() {
        let x = 1.234_567_9_f32;
        let (high, low) = split(x);
        assert!((x - value(high) - value(low)).abs() <= x * 2f32.powi(-18));
    }
}
