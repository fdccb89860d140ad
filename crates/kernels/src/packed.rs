//! Causal attention of many texts that begin alike, without computing the beginning twice or any padding.

use std::sync::Arc;

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{self, Input, Packed};
#[cfg(feature = "flex")]
use crate::products;
use crate::reference;

/// Where the positions of several texts lie in one sequence: first those that all texts begin with, once, and then the
/// rest of each text, one behind the other.
///
/// Under a causal mask the first positions of a text do not depend on what follows. So those that texts have in common
/// have the same hidden states in all of them, in every layer, and one copy serves all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    common: usize,
    lengths: Arc<[usize]>,
}

impl Packing {
    /// Texts with so many positions in common, and so many of their own each.
    ///
    /// # Panics
    /// If there is no common position, no text, or a text without a position of its own.
    pub fn new(common: usize, lengths: &[usize]) -> Self {
        assert!(
            common > 0 && !lengths.is_empty() && lengths.iter().all(|length| *length > 0),
            "texts with {common} common positions and {lengths:?} of their own cannot be packed"
        );
        Self { common, lengths: lengths.into() }
    }

    /// Number of positions that all texts have in common.
    pub fn common(&self) -> usize {
        self.common
    }

    /// Number of positions that each text has for itself.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Number of positions of the whole sequence.
    pub fn positions(&self) -> usize {
        self.common + self.lengths.iter().sum::<usize>()
    }
}

/// Causal multi-head self-attention of packed texts: every text attends to the common positions and to its own, as
/// [`crate::attention`] does for each text alone.
///
/// # Shapes
///
/// - `qkv`: `[1, positions, 3 width]`: queries, keys and values side by side, each with its heads side by side
/// - result: `[1, positions, width]`, heads side by side
///
/// # Panics
///
/// If `heads` is 0, the last dimension is no multiple of `3 heads`, or the positions are not those of the packing.
pub fn packed_attention(qkv: Tensor<3>, heads: usize, packing: &Packing) -> Tensor<3> {
    let [batch, positions, packed] = qkv.dims();
    assert!(
        heads > 0 && packed % (3 * heads) == 0,
        "attention: {packed} features cannot hold queries, keys and values of {heads} heads"
    );
    assert!(
        batch == 1 && positions == packing.positions(),
        "attention: {batch} times {positions} positions, the packing has {}",
        packing.positions()
    );
    #[cfg(feature = "flex")]
    if let Some(input) = Input::new(&qkv) {
        drop(qkv);
        let operation = Packed { heads, packing: packing.clone(), precision: products::precision() };
        return flex::apply(operation, [input]);
    }
    reference::packed_attention(qkv, heads, packing)
}
