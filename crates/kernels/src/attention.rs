//! Multi-head self-attention on the packed projection that CLIP's `in_proj` yields.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{self, Attention, Input};
#[cfg(feature = "flex")]
use crate::products;
use crate::reference;

/// Which positions a token attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionMask {
    /// Every position: image towers.
    Full,
    /// Itself and the positions before it: text towers.
    Causal,
}

/// Multi-head self-attention, `softmax(q kᵀ / √d + mask) v` in each head (Vaswani et al. 2017, equation 1),
/// with `d = width / heads`, before the output projection.
///
/// # Shapes
///
/// - `qkv`: `[batch, tokens, 3 width]`: queries, keys and values side by side, each with its heads side by
///   side, as `nn.MultiheadAttention` packs them
/// - result: `[batch, tokens, width]`, heads side by side
///
/// # Panics
///
/// If `heads` is 0 or the last dimension is no multiple of `3 heads`.
pub fn attention(qkv: Tensor<3>, heads: usize, mask: AttentionMask) -> Tensor<3> {
    let [_, _, packed] = qkv.dims();
    assert!(
        heads > 0 && packed % (3 * heads) == 0,
        "attention: {packed} features cannot hold queries, keys and values of {heads} heads"
    );
    #[cfg(feature = "flex")]
    if let Some(input) = Input::new(&qkv) {
        drop(qkv);
        return flex::apply(Attention { heads, mask, precision: products::precision() }, [input]);
    }
    reference::attention(qkv, heads, mask)
}
