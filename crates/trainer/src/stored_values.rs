//! Values of tensors as files hold them.

use std::borrow::Cow;

use burn::tensor::{Bytes, Tensor};
use safetensors::tensor::{Dtype, View};

/// A tensor on its way into a safetensors file. Its bytes are made when it is written, so that writing a file takes the
/// memory of its largest tensor, and not of all.
pub(crate) struct StoredTensor<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    length: usize,
    bytes: Box<dyn Fn() -> Cow<'a, [u8]> + 'a>,
}

impl<'a> StoredTensor<'a> {
    /// Values in f32, of that shape.
    ///
    /// # Errors
    /// If the shape asks for another number of values.
    pub(crate) fn f32(values: &'a Tensor<1>, shape: &[usize]) -> Result<Self, String> {
        let [count] = values.dims();
        if shape.iter().product::<usize>() != count {
            return Err(format!("{count} values cannot have the shape {shape:?}"));
        }
        let bytes = Box::new(|| Cow::Owned(little_endian(values).to_vec()));
        Ok(Self { dtype: Dtype::F32, shape: shape.to_vec(), length: count * size_of::<f32>(), bytes })
    }

    /// Values in f64.
    pub(crate) fn f64(values: &'a [f64]) -> Self {
        let bytes = Box::new(|| values.iter().flat_map(|value| value.to_le_bytes()).collect());
        Self { dtype: Dtype::F64, shape: vec![values.len()], length: size_of_val(values), bytes }
    }

    /// Bytes that are no numbers.
    pub(crate) fn bytes(bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        Self {
            dtype: Dtype::U8,
            shape: vec![length],
            length,
            bytes: Box::new(move || Cow::Owned(bytes.clone())),
        }
    }
}

impl View for StoredTensor<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        (self.bytes)()
    }

    fn data_len(&self) -> usize {
        self.length
    }
}

/// The values in f32, in little-endian order, whatever the machine's order is.
fn little_endian(values: &Tensor<1>) -> Bytes {
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
        let stored = StoredTensor::f32(&part, &[1, 3]).unwrap();
        assert_eq!((stored.data().as_ref(), stored.data_len()), (&expected[..], 12));
        let numbers = [0.1f64, -3.0];
        let stored = StoredTensor::f64(&numbers);
        assert_eq!((stored.data()[8..].to_vec(), stored.data_len()), ((-3.0f64).to_le_bytes().to_vec(), 16));
    }

    #[test]
    fn a_shape_of_other_values_is_refused() {
        let values = tensor(&[1.0, 2.0], &device());
        assert!(StoredTensor::f32(&values, &[3]).err().unwrap().contains("[3]"));
    }
}
