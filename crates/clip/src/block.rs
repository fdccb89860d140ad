//! The transformer block that all towers, backbones and text encoders are made of.
//!
//! Field names are those of OpenAI's state dict, because they are the canonical parameter paths.

use crate::config::{Activation, VitConfig};
use crate::injection::Scope;
use crate::parameters::vacant;
use crate::precision::Precision;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use regulus_kernels::{AttentionMask, Gelu, Packing, attention, layer_norm, packed_attention};

/// Where a block normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormOrder {
    /// Before attention and MLP, `x + f(norm(x))`: CLIP and vision transformers.
    Pre,
    /// After each residual sum, `norm(x + f(x))`: BERT (Vaswani et al. 2017, section 3.1).
    Post,
}

/// Sizes and choices that all blocks of a tower share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockShape {
    pub width: usize,
    pub heads: usize,
    pub mlp_width: usize,
    pub activation: Activation,
    pub layer_norm_eps: f64,
    pub mask: AttentionMask,
    pub norm_order: NormOrder,
}

impl BlockShape {
    /// The blocks of a vision transformer.
    pub(crate) fn of_images(config: &VitConfig) -> Self {
        Self {
            width: config.width,
            heads: config.heads,
            mlp_width: config.mlp_width,
            activation: config.activation,
            layer_norm_eps: config.layer_norm_eps,
            mask: AttentionMask::Full,
            norm_order: NormOrder::Pre,
        }
    }
}

/// LayerNorm over the last dimension, computed in f32.
#[derive(Module, Debug)]
pub(crate) struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    eps: f64,
}

impl LayerNorm {
    pub(crate) fn vacant(width: usize, eps: f64, device: &Device) -> Self {
        Self { weight: vacant([width], device), bias: vacant([width], device), eps }
    }

    pub(crate) fn forward(&self, x: Tensor<3>, scope: &Scope<'_>) -> Tensor<3> {
        let weight = scope.single_weight("weight", &self.weight);
        let bias = scope.single_weight("bias", &self.bias);
        let precision = scope.precision();
        precision.narrow(layer_norm(precision.widen(x), weight, bias, self.eps))
    }
}

/// Affine map with its weight in PyTorch's layout.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    /// `[out, in]`
    weight: Param<Tensor<2>>,
    /// `[out]`
    bias: Param<Tensor<1>>,
}

impl Linear {
    pub(crate) fn vacant(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self { weight: vacant([outputs, inputs], device), bias: vacant([outputs], device) }
    }

    pub(crate) fn forward(&self, x: Tensor<3>, scope: &Scope<'_>) -> Tensor<3> {
        scope.linear("weight", &self.weight, scope.weight("bias", &self.bias), x, None)
    }

    /// What `gelu` makes of [`Self::forward`].
    fn activated(&self, x: Tensor<3>, gelu: Gelu, scope: &Scope<'_>) -> Tensor<3> {
        scope.linear_gelu("weight", &self.weight, scope.weight("bias", &self.bias), x, gelu)
    }

    /// The sum of `residual` and what [`Self::forward`] makes of `x`.
    fn add(&self, residual: Tensor<3>, x: Tensor<3>, scope: &Scope<'_>) -> Tensor<3> {
        scope.linear("weight", &self.weight, scope.weight("bias", &self.bias), x, Some(residual))
    }
}

/// Multi-head self-attention with one fused projection to queries, keys and values.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    /// `[3 * width, width]`: rows of the queries, then of the keys, then of the values.
    in_proj_weight: Param<Tensor<2>>,
    /// `[3 * width]`
    in_proj_bias: Param<Tensor<1>>,
    out_proj: Linear,
    heads: usize,
    #[module(skip)]
    mask: AttentionMask,
}

impl Attention {
    fn vacant(shape: &BlockShape, device: &Device) -> Self {
        Self {
            in_proj_weight: vacant([3 * shape.width, shape.width], device),
            in_proj_bias: vacant([3 * shape.width], device),
            out_proj: Linear::vacant(shape.width, shape.width, device),
            heads: shape.heads,
            mask: shape.mask,
        }
    }

    /// What the output projection reads: the values that each position attends to.
    fn mixed(&self, x: Tensor<3>, scope: &Scope<'_>, packing: Option<&Packing>) -> Tensor<3> {
        let bias = scope.weight("in_proj_bias", &self.in_proj_bias);
        let qkv = scope.linear("in_proj_weight", &self.in_proj_weight, bias, x, None);
        match packing {
            Some(packing) => packed_attention(qkv, self.heads, packing),
            None => attention(qkv, self.heads, self.mask),
        }
    }

    fn add_projected(&self, residual: Tensor<3>, mixed: Tensor<3>, scope: &Scope<'_>) -> Tensor<3> {
        self.out_proj.add(residual, mixed, &scope.enter("out_proj"))
    }
}

/// Two-layer perceptron, applied to every position.
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    c_fc: Linear,
    c_proj: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    fn vacant(shape: &BlockShape, device: &Device) -> Self {
        Self {
            c_fc: Linear::vacant(shape.width, shape.mlp_width, device),
            c_proj: Linear::vacant(shape.mlp_width, shape.width, device),
            activation: shape.activation,
        }
    }

    /// The sum of `residual` and what the perceptron makes of `x`.
    fn add(&self, residual: Tensor<3>, x: Tensor<3>, scope: &Scope<'_>) -> Tensor<3> {
        let gelu = match self.activation {
            Activation::QuickGelu => Gelu::Quick,
            Activation::Gelu => Gelu::Erf,
            Activation::GeluTanh => Gelu::Tanh,
        };
        let hidden = self.c_fc.activated(x, gelu, &scope.enter("c_fc"));
        self.c_proj.add(residual, hidden, &scope.enter("c_proj"))
    }
}

/// Attention, then MLP, each with a residual sum and a LayerNorm.
#[derive(Module, Debug)]
pub(crate) struct Block {
    ln_1: LayerNorm,
    attn: Attention,
    ln_2: LayerNorm,
    mlp: Mlp,
    #[module(skip)]
    norm_order: NormOrder,
}

impl Block {
    fn vacant(shape: &BlockShape, device: &Device) -> Self {
        Self {
            ln_1: LayerNorm::vacant(shape.width, shape.layer_norm_eps, device),
            attn: Attention::vacant(shape, device),
            ln_2: LayerNorm::vacant(shape.width, shape.layer_norm_eps, device),
            mlp: Mlp::vacant(shape, device),
            norm_order: shape.norm_order,
        }
    }

    fn forward(&self, x: Tensor<3>, scope: &Scope<'_>) -> Tensor<3> {
        let ln_1 = |x| self.ln_1.forward(x, &scope.enter("ln_1"));
        let attn = |residual, x| {
            let scope = scope.enter("attn");
            self.attn.add_projected(residual, self.attn.mixed(x, &scope, None), &scope)
        };
        let ln_2 = |x| self.ln_2.forward(x, &scope.enter("ln_2"));
        let mlp = |residual, x| self.mlp.add(residual, x, &scope.enter("mlp"));
        match self.norm_order {
            NormOrder::Pre => {
                let x = attn(x.clone(), ln_1(x));
                mlp(x.clone(), ln_2(x))
            }
            NormOrder::Post => {
                let x = ln_1(attn(x.clone(), x));
                ln_2(mlp(x.clone(), x))
            }
        }
    }

    /// [`Self::forward`] of a block that normalises first, for the positions that `read` chooses: the others are only
    /// attended to.
    fn forward_read(
        &self,
        x: Tensor<3>,
        scope: &Scope<'_>,
        packing: Option<&Packing>,
        read: impl Fn(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let attn = scope.enter("attn");
        let mixed = self.attn.mixed(self.ln_1.forward(x.clone(), &scope.enter("ln_1")), &attn, packing);
        let x = self.attn.add_projected(read(x), read(mixed), &attn);
        let hidden = self.ln_2.forward(x.clone(), &scope.enter("ln_2"));
        self.mlp.add(x, hidden, &scope.enter("mlp"))
    }
}

/// A stack of blocks.
#[derive(Module, Debug)]
pub(crate) struct Transformer {
    resblocks: Vec<Block>,
    #[module(skip)]
    precision: Precision,
}

impl Transformer {
    pub(crate) fn vacant(layers: usize, shape: &BlockShape, device: &Device) -> Self {
        let resblocks = (0..layers).map(|_| Block::vacant(shape, device)).collect();
        Self { resblocks, precision: Precision::F32 }
    }

    /// Makes the blocks compute in `precision`.
    pub(crate) fn compute_in(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// What the blocks compute in.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// Number of blocks.
    pub(crate) fn layers(&self) -> usize {
        self.resblocks.len()
    }

    /// Runs all blocks on what `input` makes of each block's input, and shows `observe` the output of each. Both see
    /// values in the blocks' precision.
    ///
    /// # Shapes
    /// - `x`: `[batch, positions, width]`, in f32
    /// - output: as `x`
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        scope: &Scope<'_>,
        input: impl Fn(usize, Tensor<3>) -> Tensor<3>,
        mut observe: impl FnMut(&Tensor<3>),
    ) -> Tensor<3> {
        let blocks = scope.enter("resblocks").computing_in(self.precision);
        let mut x = self.precision.enter(x);
        for (index, block) in self.resblocks.iter().enumerate() {
            x = block.forward(input(index, x), &blocks.item(index));
            observe(&x);
        }
        self.precision.leave(x)
    }

    /// The positions that `read` chooses of what all blocks make, which have to normalise first: the last block computes
    /// no others. Positions may be those of texts in one sequence.
    ///
    /// # Shapes
    /// - `x`: `[batch, positions, width]`, or `[1, positions of the packing, width]`, in f32
    /// - output: what `read` makes of such a tensor
    pub(crate) fn forward_read(
        &self,
        x: Tensor<3>,
        scope: &Scope<'_>,
        packing: Option<&Packing>,
        input: impl Fn(usize, Tensor<3>) -> Tensor<3>,
        read: impl Fn(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let blocks = scope.enter("resblocks").computing_in(self.precision);
        let mut x = self.precision.enter(x);
        let Some((last, before)) = self.resblocks.split_last() else { return self.precision.leave(read(x)) };
        for (index, block) in before.iter().enumerate() {
            x = block.forward_read(input(index, x), &blocks.item(index), packing, |x| x);
        }
        let x = last.forward_read(input(before.len(), x), &blocks.item(before.len()), packing, read);
        self.precision.leave(x)
    }
}
