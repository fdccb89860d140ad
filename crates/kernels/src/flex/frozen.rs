//! Frozen weights in the order of the kernels, packed once for all steps.
//!
//! Packing is a pass over the weight. In f32 that is little beside the product; on a matrix unit it is not. Who calls a
//! layer does not know of this: a weight is recognised by its memory, and what was packed is dropped when the weight is.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use burn::backend::flex::FlexTensor;
use burn::tensor::Bytes;
use regulus_matrix::{Matrix, Packed, Precision};

/// How a weight enters a product from the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// As it is stored: for the gradient of a layer's input.
    Stored,
    /// Its transpose: for the layer.
    Transposed,
}

/// One form of one weight. The address stands for the memory as long as the entry's [`Weak`] holds it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    address: usize,
    shape: [usize; 2],
    side: Side,
    precision: Precision,
}

struct Entry {
    weight: Weak<Bytes>,
    packed: Arc<Packed>,
}

static ENTRIES: LazyLock<Mutex<HashMap<Key, Entry>>> = LazyLock::new(Mutex::default);

/// A frozen weight `[rows, columns]` as an operand, or `None` if it is not worth a copy.
pub(super) fn packed(
    weight: &FlexTensor,
    shape: [usize; 2],
    side: Side,
    precision: Precision,
) -> Option<Arc<Packed>> {
    if precision == Precision::F32 {
        return None;
    }
    let memory = weight.data_arc();
    let key = Key { address: Arc::as_ptr(&memory).addr(), shape, side, precision };
    let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(entry) = entries.get(&key) {
        return Some(entry.packed.clone());
    }
    entries.retain(|_, entry| entry.weight.strong_count() > 0);
    let [rows, columns] = shape;
    let matrix = Matrix::new(weight.storage(), rows, columns, columns);
    let matrix = if side == Side::Transposed { matrix.transposed() } else { matrix };
    let packed = Arc::new(Packed::new(matrix, precision));
    entries.insert(key, Entry { weight: Arc::downgrade(&memory), packed: packed.clone() });
    Some(packed)
}
