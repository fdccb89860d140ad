//! Values of tensors as files hold them.

use burn::tensor::{Bytes, Tensor};

/// The values in f32, in little-endian order, whatever the machine's order is.
pub(crate) fn little_endian(values: &Tensor<1>) -> Bytes {
    let mut bytes = values.to_data_as::<f32>().into_bytes();
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(size_of::<f32>()).for_each(<[u8]>::reverse);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{device, tensor};

    #[test]
    fn values_are_little_endian() {
        let values = [1.0f32, -2.5, f32::MIN_POSITIVE];
        let expected: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let part = tensor(&[9.0, 1.0, -2.5, f32::MIN_POSITIVE], &device()).narrow(0, 1, 3);
        assert_eq!(little_endian(&part)[..], expected);
    }
}
