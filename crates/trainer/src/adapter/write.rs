//! Writing: the same adapter gives the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::Tensor;
use safetensors::SafeTensorError;

use super::card::{Packed, Stored};
use super::{Adapter, AdapterError, ENTRY, bits};
use crate::stored_values::StoredTensor;

type Tensors<'a> = BTreeMap<&'a String, StoredTensor<'a>>;

impl Adapter {
    /// Writes the adapter; replaces the file as a whole or not at all. The names of the buffers are listed in the
    /// metadata, so that nothing else tells them from the parameters.
    ///
    /// # Errors
    /// [`AdapterError`] if the file cannot be encoded or written.
    pub fn save(&self, path: &Path) -> Result<(), AdapterError> {
        let encode = |reason| AdapterError::Encode { path: path.to_owned(), reason };
        let (tensors, metadata) = self.encoded().map_err(encode)?;
        let written = crate::files::replace_by(path, |temporary| {
            safetensors::serialize_to_file(tensors, Some(metadata), temporary)
        });
        written.map_err(|error| match error {
            SafeTensorError::IoError(source) => AdapterError::Write { path: path.to_owned(), source },
            other => encode(other.to_string()),
        })
    }

    /// The bytes of the file.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        let (tensors, metadata) = self.encoded()?;
        safetensors::serialize(tensors, Some(metadata)).map_err(|error| error.to_string())
    }

    /// Tensors and metadata of the file.
    fn encoded(&self) -> Result<(Tensors<'_>, HashMap<String, String>), String> {
        let mut tensors = Tensors::new();
        let mut packed = BTreeMap::new();
        for (name, leaf) in self.parameters.iter() {
            let encoded = match self.thresholds.get(name) {
                Some(&threshold) => {
                    packed.insert(name.clone(), Packed { shape: leaf.shape.clone(), threshold });
                    StoredTensor::bytes(bits::pack(&host(&leaf.value), threshold))
                }
                None => StoredTensor::f32(&leaf.value, &leaf.shape)?,
            };
            tensors.insert(name, encoded);
        }
        for (name, value) in &self.buffers {
            if tensors.insert(name, StoredTensor::f32(value, &value.dims())?).is_some() {
                return Err(format!("`{name}` is both a parameter and a buffer"));
            }
        }
        let stored =
            Stored { card: self.card.clone(), buffers: self.buffers.keys().cloned().collect(), bits: packed };
        let card = serde_json::to_string(&stored).map_err(|error| error.to_string())?;
        // One entry only: the order of several would differ from run to run.
        Ok((tensors, HashMap::from([(ENTRY.to_owned(), card)])))
    }
}

fn host(values: &Tensor<1>) -> Vec<f32> {
    values.to_data_as::<f32>().iter::<f32>().collect()
}
