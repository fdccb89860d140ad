//! Storages: the one-dimensional arrays in which tensors lie, as a pickle refers to them.

use crate::pickle::{Heap, Node, Value};
use crate::tensor::Dtype;
use std::collections::BTreeMap;
use std::ops::Range;

/// Where the bytes of each storage lie in the file.
pub(super) type Storages = BTreeMap<String, Range<usize>>;

/// A reference to a storage: `('storage', type, key, location, numel)` and, before PyTorch 1.6, a view.
#[derive(Debug, Clone, Copy)]
pub(super) struct StorageId<'a> {
    pub key: &'a str,
    /// Name of the class, such as `HalfStorage`.
    pub class: &'a str,
    /// Number of elements.
    pub numel: usize,
    /// First element and number of elements of the part in question.
    pub view: Option<(usize, usize)>,
}

impl<'a> StorageId<'a> {
    /// The reference behind a value, if it is one.
    pub(super) fn of(heap: &Heap<'a>, value: Value) -> Option<Self> {
        let Node::Persistent(id) = *heap.node(value)? else { return None };
        Self::parse(heap, id)
    }

    /// The reference in a persistent id.
    pub(super) fn parse(heap: &Heap<'a>, id: Value) -> Option<Self> {
        let (&[kind, class, key, _location, numel], rest) = heap.sequence(id)?.split_first_chunk()?;
        if heap.identifier(kind) != Some("storage") {
            return None;
        }
        let (_, class) = heap.global(class)?;
        let view = match rest.first().copied().and_then(|view| heap.sequence(view)) {
            Some(&[_key, offset, size]) => Some((natural(offset)?, natural(size)?)),
            _ => None,
        };
        Some(Self { key: heap.identifier(key)?, class, numel: natural(numel)?, view })
    }
}

/// A whole number that is not negative.
pub(super) fn natural(value: Value) -> Option<usize> {
    let Value::Int(number) = value else { return None };
    usize::try_from(number).ok()
}

/// Number format of the class of a storage; `None` for untyped ones, and those that are not supported.
pub(super) fn storage_dtype(class: &str) -> Option<Dtype> {
    Some(match class {
        "BoolStorage" => Dtype::Bool,
        "ByteStorage" => Dtype::U8,
        "CharStorage" => Dtype::I8,
        "ShortStorage" => Dtype::I16,
        "IntStorage" => Dtype::I32,
        "LongStorage" => Dtype::I64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        _ => return None,
    })
}

/// Number format by its name in the module `torch`.
pub(super) fn torch_dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "bool" => Dtype::Bool,
        "uint8" => Dtype::U8,
        "int8" => Dtype::I8,
        "int16" => Dtype::I16,
        "int32" => Dtype::I32,
        "int64" => Dtype::I64,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        _ => return None,
    })
}
