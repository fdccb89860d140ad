//! The safetensors format: a JSON header that says where each tensor lies.
//!
//! The `safetensors` crate bounds the header, and refuses gaps, overlaps, shapes that do not match their bytes
//! and files that are too short or too long.

use crate::checkpoint::{Contents, Entry};
use crate::error::Fault;
use crate::layout::{Layout, numel};
use crate::tensor::Dtype;
use safetensors::SafeTensors;

/// The tensors of the file `bytes`, or what is wrong with it.
pub(crate) fn read(bytes: &[u8]) -> Result<Contents, Fault> {
    let (header_length, header) =
        SafeTensors::read_metadata(bytes).map_err(|error| Fault::Damaged(error.to_string()))?;
    let data = header_length + 8;
    let mut contents = Contents::default();
    for (name, info) in header.tensors() {
        let dtype = dtype(info.dtype).ok_or_else(|| {
            Fault::Unsupported(format!("{name} has the number format {}; convert it first", info.dtype))
        })?;
        let numel = numel(&info.shape).ok_or_else(|| format!("{name} has too many elements"))?;
        let bytes = data + info.data_offsets.0..data + info.data_offsets.1;
        let layout = Layout::whole(info.shape.clone(), numel);
        contents.tensors.insert(name, Entry { file: 0, dtype, layout, bytes });
    }
    Ok(contents)
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
