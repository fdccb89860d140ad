//! Safetensors files that are written one tensor after the other: what is made of all parameters and the memory of an
//! optimiser is larger than a model, and need not be in memory a second time.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use burn::tensor::{Bytes, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

/// Headers have a multiple of this many bytes, so that values are aligned.
const ALIGNMENT: usize = 8;
/// Numbers that are converted at a time.
const STEP: usize = 1 << 13;

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteFault {
    /// The system refuses.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The values cannot be encoded.
    #[error("{0}")]
    Encode(String),
}

/// A tensor on its way into a file.
pub(crate) struct StoredTensor<'a> {
    shape: Vec<usize>,
    values: Values<'a>,
}

enum Values<'a> {
    F32(&'a Tensor<1>),
    F64(&'a [f64]),
    Bytes(Vec<u8>),
}

impl<'a> StoredTensor<'a> {
    /// Values in f32, of that shape.
    pub(crate) fn f32(values: &'a Tensor<1>, shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), values: Values::F32(values) }
    }

    /// Values in f64.
    pub(crate) fn f64(values: &'a [f64]) -> Self {
        Self { shape: vec![values.len()], values: Values::F64(values) }
    }

    /// Bytes that are no numbers.
    pub(crate) fn bytes(bytes: Vec<u8>) -> Self {
        Self { shape: vec![bytes.len()], values: Values::Bytes(bytes) }
    }

    fn dtype(&self) -> Dtype {
        match self.values {
            Values::F32(_) => Dtype::F32,
            Values::F64(_) => Dtype::F64,
            Values::Bytes(_) => Dtype::U8,
        }
    }

    /// Bytes in the file.
    fn length(&self) -> usize {
        match &self.values {
            Values::F32(values) => values.dims()[0] * size_of::<f32>(),
            Values::F64(values) => size_of_val(*values),
            Values::Bytes(bytes) => bytes.len(),
        }
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        match &self.values {
            Values::F32(values) => file.write_all(&little_endian(values)),
            Values::F64(values) => values.chunks(STEP).try_for_each(|some| {
                let bytes: Vec<u8> = some.iter().flat_map(|value| value.to_le_bytes()).collect();
                file.write_all(&bytes)
            }),
            Values::Bytes(bytes) => file.write_all(bytes),
        }
    }
}

/// A safetensors file before it is written.
pub(crate) struct StoredFile<'a> {
    /// In the order of the file: wide numbers first, so that all are aligned.
    tensors: Vec<StoredTensor<'a>>,
    /// With its length before it.
    header: Vec<u8>,
}

impl<'a> StoredFile<'a> {
    /// A file of these tensors, the same bytes as [`safetensors::serialize`] makes of them.
    ///
    /// # Errors
    /// For a tensor whose shape asks for another number of values than it has.
    pub(crate) fn new(
        tensors: BTreeMap<String, StoredTensor<'a>>,
        metadata: HashMap<String, String>,
    ) -> Result<Self, WriteFault> {
        let mut tensors: Vec<_> = tensors.into_iter().collect();
        tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype()));
        let mut end = 0;
        let infos = tensors.iter().map(|(name, tensor)| {
            let begin = end;
            end += tensor.length();
            let (dtype, shape) = (tensor.dtype(), tensor.shape.clone());
            (name.clone(), TensorInfo { dtype, shape, data_offsets: (begin, end) })
        });
        let encode = |error: &dyn std::fmt::Display| WriteFault::Encode(error.to_string());
        let metadata = Metadata::new(Some(metadata), infos.collect()).map_err(|error| encode(&error))?;
        let mut header = serde_json::to_vec(&metadata).map_err(|error| encode(&error))?;
        header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
        header.splice(0..0, (header.len() as u64).to_le_bytes());
        Ok(Self { tensors: tensors.into_iter().map(|(_, tensor)| tensor).collect(), header })
    }

    /// The header, with its length before it.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Writes the whole file.
    pub(crate) fn write(&self, file: &mut impl Write) -> io::Result<()> {
        file.write_all(&self.header)?;
        self.tensors.iter().try_for_each(|tensor| tensor.write(file))
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
    use safetensors::tensor::TensorView;

    fn metadata() -> HashMap<String, String> {
        HashMap::from([("entry".to_owned(), "{\"a\": \"é\"}".to_owned())])
    }

    #[test]
    fn files_are_those_of_the_library() {
        let device = device();
        let values = [1.0f32, -2.5, f32::MIN_POSITIVE];
        let part = tensor(&[9.0, 1.0, -2.5, f32::MIN_POSITIVE], &device).narrow(0, 1, 3);
        let numbers: Vec<f64> = (0..STEP + 3).map(|number| number as f64 / 7.0).collect();
        let stored = BTreeMap::from([
            ("b/values".to_owned(), StoredTensor::f32(&part, &[1, 3])),
            ("a".to_owned(), StoredTensor::bytes(vec![7, 8, 9])),
            ("z".to_owned(), StoredTensor::f64(&numbers)),
            ("c".to_owned(), StoredTensor::f32(&part, &[3])),
        ]);
        let mut written = Vec::new();
        let file = StoredFile::new(stored, metadata()).unwrap();
        file.write(&mut written).unwrap();
        assert!(written.starts_with(file.header()));

        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let wide: Vec<u8> = numbers.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
        let views = [
            ("b/values", view(Dtype::F32, &[1, 3], &bytes)),
            ("a", view(Dtype::U8, &[3], &[7, 8, 9])),
            ("z", view(Dtype::F64, &[numbers.len()], &wide)),
            ("c", view(Dtype::F32, &[3], &bytes)),
        ];
        assert!(written == safetensors::serialize(views, Some(metadata())).unwrap());
    }

    #[test]
    fn a_shape_of_other_values_is_refused() {
        let values = tensor(&[1.0, 2.0], &device());
        let stored = BTreeMap::from([("a".to_owned(), StoredTensor::f32(&values, &[3]))]);
        assert!(matches!(StoredFile::new(stored, metadata()), Err(WriteFault::Encode(_))));
    }
}
