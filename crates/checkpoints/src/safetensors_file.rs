//! The safetensors format: a JSON header that says where each tensor lies.

use crate::checkpoint::Entry;
use crate::tensor::Dtype;
use safetensors::SafeTensors;
use std::collections::BTreeMap;

/// Where each tensor of the file `bytes` lies, or what is wrong with the file.
pub(crate) fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let (header_length, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    // Reading the whole checks that the data are complete.
    SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let data = header_length + 8;
    header
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let dtype = dtype(info.dtype).ok_or_else(|| format!("{name} has the type {}", info.dtype))?;
            let bytes = data + info.data_offsets.0..data + info.data_offsets.1;
            Ok((name, Entry { file: 0, dtype, shape: info.shape.clone(), bytes }))
        })
        .collect()
}

fn dtype(dtype: safetensors::Dtype) -> Option<Dtype> {
    use safetensors::Dtype as Stored;
    Some(match dtype {
        Stored::BOOL => Dtype::Bool,
        Stored::U8 => Dtype::U8,
        Stored::I8 => Dtype::I8,
        Stored::I16 => Dtype::I16,
        Stored::I32 => Dtype::I32,
        Stored::I64 => Dtype::I64,
        Stored::F16 => Dtype::F16,
        Stored::BF16 => Dtype::BF16,
        Stored::F32 => Dtype::F32,
        Stored::F64 => Dtype::F64,
        _ => return None,
    })
}
