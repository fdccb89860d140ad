//! Reading: whatever the bytes are, the answer is an adapter or the reason why they are none.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::card::{Packed, Stored};
use super::{Adapter, AdapterError, ENTRY, Fault, bits};
use crate::parameters::Parameters;

impl Adapter {
    /// Reads an adapter file; its values go to `device`.
    ///
    /// # Errors
    /// [`AdapterError`] with the path, and with the tensor or the part of the card at fault.
    pub fn load(path: &Path, device: &Device) -> Result<Self, AdapterError> {
        let unreadable = |source| AdapterError::Read { path: path.to_owned(), source };
        // A pipe or a device might never end.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(AdapterError::NotAFile { path: path.to_owned() });
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        Self::of_bytes(&bytes, device).map_err(|fault| AdapterError::Fault { path: path.to_owned(), fault })
    }

    /// The adapter in the bytes of a file.
    ///
    /// # Errors
    /// [`Fault`] with what is wrong first.
    pub fn of_bytes(bytes: &[u8], device: &Device) -> Result<Self, Fault> {
        let broken = |error: safetensors::SafeTensorError| Fault::Container { reason: error.to_string() };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
        let entry = header.metadata().as_ref().and_then(|entries| entries.get(ENTRY));
        let Stored { card, buffers: listed, bits: mut packed } = Stored::parse(entry.ok_or(Fault::NoCard)?)?;
        let mut buffers = BTreeMap::new();
        for name in listed {
            let view = tensors.tensor(&name);
            let view = view.map_err(|_| Fault::Missing { name: name.clone(), list: "buffers" })?;
            let [length] = *view.shape() else {
                return Err(shape(&name, &view, "one size".into()));
            };
            buffers.insert(name.clone(), tensor(numbers(&name, &view)?, length, device));
        }
        let mut parameters = Parameters::default();
        let mut thresholds = BTreeMap::new();
        for (name, view) in tensors.iter().filter(|(name, _)| !buffers.contains_key(*name)) {
            let (values, shape) = match packed.remove(name) {
                Some(packed) => {
                    thresholds.insert(name.to_owned(), packed.threshold);
                    (unpacked(name, &view, &packed)?, packed.shape)
                }
                None => (numbers(name, &view)?, view.shape().to_vec()),
            };
            let length = values.len();
            parameters.insert(name, tensor(values, length, device), shape);
        }
        match packed.into_keys().next() {
            Some(name) => Err(Fault::Missing { name, list: "bits" }),
            None => Ok(Self { card, parameters, buffers, thresholds }),
        }
    }
}

fn shape(name: &str, view: &TensorView<'_>, expected: String) -> Fault {
    Fault::Shape { name: name.to_owned(), found: view.shape().to_vec(), expected }
}

fn checked_type(
    name: &str,
    view: &TensorView<'_>,
    dtype: Dtype,
    expected: &'static str,
) -> Result<(), Fault> {
    if view.dtype() == dtype {
        return Ok(());
    }
    Err(Fault::Type { name: name.to_owned(), found: format!("{:?}", view.dtype()), expected })
}

fn numbers(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, Fault> {
    checked_type(name, view, Dtype::F32, "F32")?;
    // The container has checked that there are four bytes for each number.
    let (numbers, _) = view.data().as_chunks::<4>();
    Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn unpacked(name: &str, view: &TensorView<'_>, packed: &Packed) -> Result<Vec<f32>, Fault> {
    checked_type(name, view, Dtype::U8, "U8 for bits")?;
    let Packed { shape: sizes, threshold } = packed;
    if !(*threshold as f32).is_finite() {
        return Err(Fault::Threshold { name: name.to_owned(), found: *threshold });
    }
    let count = sizes.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
    match (count, view.shape()) {
        (Some(count), &[bytes]) if bytes == count.div_ceil(8) => {
            Ok(bits::unpack(view.data(), count, *threshold))
        }
        _ => Err(shape(name, view, format!("the bytes for one bit of each value of {sizes:?}"))),
    }
}

fn tensor(values: Vec<f32>, length: usize, device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values, [length]), device)
}
