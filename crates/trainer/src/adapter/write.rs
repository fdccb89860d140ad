//! Writing: the same adapter gives the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::Tensor;

use super::card::{Packed, Stored};
use super::{Adapter, AdapterError, ENTRY, bits};
use crate::stored_values::{StoredFile, StoredTensor, WriteFault};

impl Adapter {
    /// Writes the adapter; replaces the file as a whole or not at all. The names of the buffers are listed in the
    /// metadata, so that nothing else tells them from the parameters.
    ///
    /// # Errors
    /// [`AdapterError`] if the file cannot be encoded or written.
    pub fn save(&self, path: &Path) -> Result<(), AdapterError> {
        let written =
            self.stored().and_then(|stored| Ok(crate::files::replace_by(path, |file| stored.write(file))?));
        written.map_err(|fault| match fault {
            WriteFault::File(source) => AdapterError::Write { path: path.to_owned(), source },
            WriteFault::Encode(reason) => AdapterError::Encode { path: path.to_owned(), reason },
        })
    }

    /// The bytes of the file.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> Result<Vec<u8>, WriteFault> {
        let mut bytes = Vec::new();
        self.stored()?.write(&mut bytes)?;
        Ok(bytes)
    }

    fn stored(&self) -> Result<StoredFile<'_>, WriteFault> {
        let mut tensors = BTreeMap::new();
        let mut packed = BTreeMap::new();
        for (name, leaf) in self.parameters.iter() {
            let encoded = match self.thresholds.get(name) {
                Some(&threshold) => {
                    packed.insert(name.clone(), Packed { shape: leaf.shape.clone(), threshold });
                    StoredTensor::bytes(bits::pack(&host(&leaf.value), threshold))
                }
                None => StoredTensor::f32(&leaf.value, &leaf.shape),
            };
            tensors.insert(name.clone(), encoded);
        }
        for (name, value) in &self.buffers {
            if tensors.insert(name.clone(), StoredTensor::f32(value, &value.dims())).is_some() {
                return Err(WriteFault::Encode(format!("`{name}` is both a parameter and a buffer")));
            }
        }
        let stored =
            Stored { card: self.card.clone(), buffers: self.buffers.keys().cloned().collect(), bits: packed };
        let card = serde_json::to_string(&stored).map_err(|error| WriteFault::Encode(error.to_string()))?;
        // One entry only: the order of several would differ from run to run.
        StoredFile::new(tensors, HashMap::from([(ENTRY.to_owned(), card)]))
    }
}

fn host(values: &Tensor<1>) -> Vec<f32> {
    values.to_data_as::<f32>().iter::<f32>().collect()
}
