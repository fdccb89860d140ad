//! What a tower computes on its way, for parity tests and for methods that look inside.

use burn::tensor::Tensor;

/// The intermediate results of one forward pass of a tower.
#[derive(Debug, Clone)]
pub struct HiddenStates {
    /// Sum of token (or patch and class) embeddings and positional embeddings,
    /// `[batch, positions, width]`.
    pub embeddings: Tensor<3>,
    /// What the first block reads: `embeddings` after the image tower's first LayerNorm, and the
    /// embeddings themselves in the text tower. `[batch, positions, width]`.
    pub block_input: Tensor<3>,
    /// Output of each block, `[batch, positions, width]`.
    pub blocks: Vec<Tensor<3>>,
    /// The last block's output after the final LayerNorm, `[batch, positions, width]`.
    pub normalised: Tensor<3>,
    /// `normalised` at the class token or at the end of the text, `[batch, width]`.
    pub pooled: Tensor<2>,
    /// The projected feature, not normalised, `[batch, embed_dim]`.
    pub features: Tensor<2>,
}
