//! The attention pool that ends OpenAI's residual network.

use crate::block::Linear;
use crate::injection::Scope;
use crate::parameters::vacant;
use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};

/// Multi-head attention with one query: the mean over all positions looks at the mean itself and at
/// every position (Radford et al. 2021, section 2.4; openai/CLIP, `clip/model.py`, `AttentionPool2d`).
#[derive(Module, Debug)]
pub(crate) struct AttentionPool {
    /// `[1 + positions, width]`
    positional_embedding: Param<Tensor<2>>,
    k_proj: Linear,
    q_proj: Linear,
    v_proj: Linear,
    c_proj: Linear,
    heads: usize,
    width: usize,
    embed_dim: usize,
}

impl AttentionPool {
    pub(crate) fn vacant(
        positions: usize,
        width: usize,
        heads: usize,
        embed_dim: usize,
        device: &Device,
    ) -> Self {
        let square = || Linear::vacant(width, width, device);
        Self {
            positional_embedding: vacant([positions, width], device),
            k_proj: square(),
            q_proj: square(),
            v_proj: square(),
            c_proj: Linear::vacant(width, embed_dim, device),
            heads,
            width,
            embed_dim,
        }
    }

    /// Width before the projection.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Width after the projection.
    pub(crate) fn embed_dim(&self) -> usize {
        self.embed_dim
    }

    /// The mixed values of all heads, before the projection.
    ///
    /// # Shapes
    /// - `x`: `[batch, width, rows, columns]`
    /// - output: `[batch, width]`
    pub(crate) fn mix(&self, x: Tensor<4>, scope: &Scope<'_>) -> Tensor<2> {
        let [batch, width, rows, columns] = x.dims();
        let places = x.reshape([batch, width, rows * columns]).swap_dims(1, 2);
        let positions = scope.weight("positional_embedding", &self.positional_embedding);
        let tokens = Tensor::cat(vec![places.clone().mean_dim(1), places], 1) + positions.unsqueeze();
        let query = self.q_proj.forward(tokens.clone().narrow(1, 0, 1), &scope.enter("q_proj"));
        let keys = self.heads(self.k_proj.forward(tokens.clone(), &scope.enter("k_proj")));
        let values = self.heads(self.v_proj.forward(tokens, &scope.enter("v_proj")));
        let scale = ((self.width / self.heads) as f64).sqrt().recip();
        let similarity = self.heads(query * scale).matmul(keys.swap_dims(2, 3));
        softmax(similarity, 3).matmul(values).reshape([batch, width])
    }

    /// Projects what [`Self::mix`] gives.
    ///
    /// # Shapes
    /// - `mixed`: `[batch, width]`
    /// - output: `[batch, embed_dim]`
    pub(crate) fn project(&self, mixed: Tensor<2>, scope: &Scope<'_>) -> Tensor<2> {
        self.c_proj.forward(mixed.unsqueeze_dim(1), &scope.enter("c_proj")).squeeze_dim(1)
    }

    /// `[batch, tokens, width]` as `[batch, heads, tokens, width / heads]`.
    fn heads(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, tokens, width] = x.dims();
        x.reshape([batch, tokens, self.heads, width / self.heads]).swap_dims(1, 2)
    }
}
