//! Writing: the same adapter gives the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::{Bytes, Tensor};
use safetensors::tensor::{Dtype, TensorView};

use super::card::{Packed, Stored};
use super::{Adapter, AdapterError, ENTRY, bits};
use crate::stored_values::little_endian;

/// Type, shape and bytes of a tensor.
type Encoded = (Dtype, Vec<usize>, Bytes);

impl Adapter {
    /// Writes the adapter; replaces the file as a whole or not at all. The names of the buffers are listed in the
    /// metadata, so that nothing else tells them from the parameters.
    ///
    /// # Errors
    /// [`AdapterError`] if the file cannot be encoded or written.
    pub fn save(&self, path: &Path) -> Result<(), AdapterError> {
        let bytes = self.bytes().map_err(|reason| AdapterError::Encode { path: path.to_owned(), reason })?;
        crate::files::replace(path, &bytes)
            .map_err(|source| AdapterError::Write { path: path.to_owned(), source })
    }

    /// The bytes of the file.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut tensors: BTreeMap<&String, Encoded> = BTreeMap::new();
        let mut packed = BTreeMap::new();
        for (name, leaf) in self.parameters.iter() {
            let shape = leaf.shape.clone();
            let encoded = match self.thresholds.get(name) {
                Some(&threshold) => {
                    packed.insert(name.clone(), Packed { shape, threshold });
                    let bytes = bits::pack(&host(&leaf.value), threshold);
                    (Dtype::U8, vec![bytes.len()], Bytes::from_bytes_vec(bytes))
                }
                None => (Dtype::F32, shape, little_endian(&leaf.value)),
            };
            tensors.insert(name, encoded);
        }
        for (name, value) in &self.buffers {
            let encoded = (Dtype::F32, value.dims().to_vec(), little_endian(value));
            if tensors.insert(name, encoded).is_some() {
                return Err(format!("`{name}` is both a parameter and a buffer"));
            }
        }
        let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            view.map(|view| (*name, view)).map_err(|error| error.to_string())
        });
        let views: Vec<_> = views.collect::<Result<_, _>>()?;
        let stored =
            Stored { card: self.card.clone(), buffers: self.buffers.keys().cloned().collect(), bits: packed };
        let card = serde_json::to_string(&stored).map_err(|error| error.to_string())?;
        // One entry only: the order of several would differ from run to run.
        let metadata = HashMap::from([(ENTRY.to_owned(), card)]);
        safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
    }
}

fn host(values: &Tensor<1>) -> Vec<f32> {
    values.to_data_as::<f32>().iter::<f32>().collect()
}
