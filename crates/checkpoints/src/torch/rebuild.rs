//! The few functions of torch whose calls in a pickle describe a tensor.

use super::storage::{StorageId, Storages, natural, storage_dtype, torch_dtype};
use crate::checkpoint::Entry;
use crate::error::Fault;
use crate::layout::Layout;
use crate::pickle::{Heap, Object, Value};

/// The call of a tensor constructor.
#[derive(Debug, Clone, Copy)]
pub(super) struct TensorCall<'h> {
    /// Storage, offset, size, stride, and what follows them.
    arguments: &'h [Value],
    /// Position of the number format, where it is not that of the storage.
    dtype: Option<usize>,
}

/// The tensor constructor that `object` calls, if it does.
pub(super) fn tensor_call<'h>(heap: &'h Heap<'_>, object: &Object) -> Option<TensorCall<'h>> {
    let arguments = heap.sequence(object.arguments)?;
    // A tensor with attributes of its own: (constructor, class, arguments, attributes).
    if heap.global(object.callable) == Some(("torch._tensor", "_rebuild_from_type_v2")) {
        let &[constructor, _class, arguments, ..] = arguments else { return None };
        return constructor_call(heap, constructor, heap.sequence(arguments)?);
    }
    constructor_call(heap, object.callable, arguments)
}

fn constructor_call<'h>(heap: &Heap<'_>, callable: Value, arguments: &'h [Value]) -> Option<TensorCall<'h>> {
    let dtype = match heap.global(callable)? {
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => None,
        ("torch._utils", "_rebuild_tensor_v3") => Some(6),
        _ => return None,
    };
    Some(TensorCall { arguments, dtype })
}

impl TensorCall<'_> {
    /// The tensor, called `name` in messages.
    pub(super) fn entry(&self, heap: &Heap<'_>, storages: &Storages, name: &str) -> Result<Entry, Fault> {
        let damaged = |reason: &str| Fault::Damaged(format!("tensor {name:?}: {reason}"));
        let &[storage, offset, size, stride, ..] = self.arguments else {
            return Err(damaged("storage, offset, shape or strides are missing"));
        };
        let id = StorageId::of(heap, storage).ok_or_else(|| damaged("its storage is none"))?;
        let (dtype, type_name) = match self.dtype {
            None => (storage_dtype(id.class), id.class),
            Some(position) => {
                let (_, type_name) = self
                    .arguments
                    .get(position)
                    .and_then(|&dtype| heap.global(dtype))
                    .ok_or_else(|| damaged("its number format is missing"))?;
                (torch_dtype(type_name), type_name)
            }
        };
        let dtype = dtype.ok_or_else(|| {
            Fault::Unsupported(format!("tensor {name:?} has the number format {type_name}; convert it first"))
        })?;
        let stored = storages
            .get(id.key)
            .ok_or_else(|| damaged(&format!("its storage {:?} is not in the file", id.key)))?;
        let elements = stored.len() / dtype.size();
        let promised = match storage_dtype(id.class) {
            Some(_) => id.numel,
            // Untyped storages count bytes.
            None => id.numel / dtype.size(),
        };
        if promised > elements {
            return Err(damaged(&format!("its storage {:?} is shorter than {promised} values", id.key)));
        }
        let (first, length) = id.view.unwrap_or((0, promised));
        if first.checked_add(length).is_none_or(|end| end > promised) {
            return Err(damaged("its view leaves the storage"));
        }
        let offset = natural(offset).ok_or_else(|| damaged("a negative offset"))?;
        let sizes =
            |value| heap.sequence(value)?.iter().map(|&size| natural(size)).collect::<Option<Vec<_>>>();
        let shape = sizes(size).ok_or_else(|| damaged("a shape that is not one"))?;
        let strides = sizes(stride).ok_or_else(|| damaged("strides that are negative or missing"))?;
        let layout = Layout::new(shape, strides, offset, length).map_err(|reason| damaged(&reason))?;
        let byte = |element: usize| stored.start + (first + element) * dtype.size();
        let bytes = byte(layout.span().start)..byte(layout.span().end);
        Ok(Entry { file: 0, dtype, layout, bytes })
    }
}
