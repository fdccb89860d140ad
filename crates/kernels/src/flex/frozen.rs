//! Frozen weights in the order of the kernels, packed once for all steps.
//!
//! Packing is a pass over the weight. In f32 that is little beside the product; on a matrix unit it is not. Who calls a
//! layer does not know of this: a weight is recognised by its memory, and what was packed is dropped when the weight is.
//! It is kept from a weight's second use on: a text tower that only makes a classifier is used once.

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

/// A weight that was used before.
struct Entry {
    weight: Weak<Bytes>,
    packed: Option<Arc<Packed>>,
}

static ENTRIES: LazyLock<Mutex<HashMap<Key, Entry>>> = LazyLock::new(Mutex::default);

/// A frozen weight `[rows, columns]` as an operand, or `None` if it is not (yet) worth a copy.
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
    let Some(entry) = entries.get_mut(&key) else {
        entries.retain(|_, entry| entry.weight.strong_count() > 0);
        entries.insert(key, Entry { weight: Arc::downgrade(&memory), packed: None });
        return None;
    };
    let pack = || {
        let [rows, columns] = shape;
        let matrix = Matrix::new(weight.storage(), rows, columns, columns);
        Arc::new(Packed::new(if side == Side::Transposed { matrix.transposed() } else { matrix }, precision))
    };
    Some(entry.packed.get_or_insert_with(pack).clone())
}
