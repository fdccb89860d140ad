//! Values of which only counts whether they are above a threshold, as one bit each.
//!
//! Bit `i` of the values is bit `i % 8`, counted from the lowest, of byte `i / 8`. Bits behind the last value are 0.

/// One bit for each value: whether it is above the threshold, compared in f32 as methods do.
pub(super) fn pack(values: &[f32], threshold: f64) -> Vec<u8> {
    let threshold = threshold as f32;
    let byte = |values: &[f32]| {
        let set = values.iter().enumerate().filter(|(_, value)| **value > threshold);
        set.fold(0u8, |byte, (place, _)| byte | (1 << place))
    };
    values.chunks(8).map(byte).collect()
}

/// `count` values clearly above or below the threshold, as the bits say.
pub(super) fn unpack(bits: &[u8], count: usize, threshold: f64) -> Vec<f32> {
    let distance = threshold.abs().max(1.0);
    let finite = |value: f64| (value as f32).clamp(f32::MIN, f32::MAX);
    let sides = [finite(threshold - distance), finite(threshold + distance)];
    let values = bits.iter().flat_map(|byte| (0..8).map(move |place| usize::from((byte >> place) & 1)));
    values.take(count).map(|bit| sides[bit]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_side_of_the_threshold_is_kept(
            values in proptest::collection::vec(-10f32..10.0, 0..40), threshold in -3f64..3.0,
        ) {
            let bits = pack(&values, threshold);
            prop_assert_eq!(bits.len(), values.len().div_ceil(8));
            let read = unpack(&bits, values.len(), threshold);
            prop_assert_eq!(read.len(), values.len());
            for (value, read) in values.iter().zip(&read) {
                prop_assert_eq!(*value > threshold as f32, *read > threshold as f32);
                prop_assert!((f64::from(*read) - threshold).abs() >= 0.99);
            }
            prop_assert_eq!(pack(&read, threshold), bits);
        }
    }

    #[test]
    fn bits_by_hand() {
        let values = [1.0, 0.0, 5e-3, 0.006, 0.0, 0.0, 0.0, 1.0, f32::NAN, 1.0];
        assert_eq!(pack(&values, 5e-3), [0b1000_1001, 0b10]);
        for threshold in [1e30, -1e30, 3e38, -3e38] {
            let read = unpack(&[0b01], 2, threshold);
            assert!(read[0] > threshold as f32 && read[1] < threshold as f32, "{read:?}");
            assert!(read.iter().all(|value| value.is_finite()));
        }
    }
}
