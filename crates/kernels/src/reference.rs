//! The operations of this crate in plain Burn: the definition that the fused passes are tested against, and
//! the path of every backend without fused passes.
//!
//! The functions have the arguments, results and panics of their namesakes at the crate's root.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use burn::tensor::{Bool, DType, FloatDType, Int, Tensor, TensorData, activation, module};

use burn::tensor::ops::ConvOptions;

use crate::{AttentionMask, Gelu, MaskedWeight, Normalised, Packing};

/// `x weightᵀ + bias`; see [`crate::linear`].
pub fn linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let [batch, tokens, width] = x.dims();
    let [out, _] = weight.dims();
    if batch * tokens == 0 {
        // Burn's ndarray divides by the number of products.
        return Tensor::zeros([batch, tokens, out], (&x.device(), x.dtype()));
    }
    let product = x.reshape([batch * tokens, width]).matmul(weight.transpose());
    let rows = match bias {
        Some(bias) => product + bias.unsqueeze(),
        None => product,
    };
    rows.reshape([batch, tokens, out])
}

/// `residual + x weightᵀ + bias`; see [`crate::add_linear`].
pub fn add_linear(residual: Tensor<3>, x: Tensor<3>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<3> {
    residual + linear(x, weight, Some(bias))
}

/// `gelu(x weightᵀ + bias)`; see [`crate::linear_gelu`].
pub fn linear_gelu(x: Tensor<3>, weight: Tensor<2>, bias: Tensor<1>, gelu: Gelu) -> Tensor<3> {
    let sums = linear(x, weight, Some(bias));
    // Not `Gelu::apply`, which takes the fused passes where there are some.
    match gelu {
        Gelu::Quick => quick_gelu(sums),
        Gelu::Erf => gelu_erf(sums),
        Gelu::Tanh => gelu_tanh(sums),
    }
}

/// `log softmax(x)` over the last dimension; see [`crate::log_softmax`].
pub fn log_softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::log_softmax(x, D - 1)
}

/// Layer normalisation over the last dimension; see [`crate::layer_norm`].
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<3> {
    module::layer_norm(x, weight, Some(bias), eps)
}

/// `x σ(1.702 x)`; see [`crate::quick_gelu`].
pub fn quick_gelu(x: Tensor<3>) -> Tensor<3> {
    x.clone() * activation::sigmoid(x * 1.702)
}

/// `x Φ(x)`; see [`crate::gelu_erf`]. Burn's gradient of the error function squares by a power, which some shaders
/// compute by logarithms to 4 digits: the gradient `Φ(x) + x φ(x)` is put in its place.
pub fn gelu_erf(x: Tensor<3>) -> Tensor<3> {
    if !x.device().is_autodiff() {
        return activation::gelu(x);
    }
    let constant = x.clone().detach();
    let slope = slope_of_gelu(constant.clone());
    // Adds nothing, and has the slope as its gradient.
    activation::gelu(constant.clone()) + (x - constant) * slope
}

fn slope_of_gelu(x: Tensor<3>) -> Tensor<3> {
    let density = (x.clone() * x.clone() * -0.5).exp() * (0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2);
    let below = ((x.clone() * FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
    below + x * density
}

/// The tanh approximation of `x Φ(x)`; see [`crate::gelu_tanh`].
pub fn gelu_tanh(x: Tensor<3>) -> Tensor<3> {
    activation::gelu_approximate(x)
}

/// Multi-head self-attention on packed queries, keys and values; see [`crate::attention`]. The softmax of 16-bit scores
/// is computed in f32.
pub fn attention(qkv: Tensor<3>, heads: usize, mask: AttentionMask) -> Tensor<3> {
    let [batch, tokens, packed] = qkv.dims();
    let width = packed / 3;
    let head_dim = width / heads;
    let device = qkv.device();
    let part = |index: usize| {
        qkv.clone().narrow(2, index * width, width).reshape([batch, tokens, heads, head_dim]).swap_dims(1, 2)
    };
    let scores = part(0).matmul(part(1).swap_dims(2, 3));
    let format = scores.dtype();
    let scores = match format {
        DType::F16 | DType::BF16 => scores.cast(FloatDType::F32),
        _ => scores,
    };
    let scores = scores * (head_dim as f64).powf(-0.5);
    let scores = match mask {
        AttentionMask::Full => scores,
        AttentionMask::Causal => {
            let later = Tensor::<2, Bool>::tril_mask([tokens, tokens], 0, &device);
            scores.mask_fill(later.unsqueeze(), f32::NEG_INFINITY)
        }
    };
    activation::softmax(scores, 3)
        .cast(format)
        .matmul(part(2))
        .swap_dims(1, 2)
        .reshape([batch, tokens, width])
}

/// Causal attention of packed texts; see [`crate::packed_attention`]. Texts are padded to the longest one, whose padding
/// no position of a text attends to.
pub fn packed_attention(qkv: Tensor<3>, heads: usize, packing: &Packing) -> Tensor<3> {
    let [_, positions, packed] = qkv.dims();
    let (common, width, device) = (packing.common(), packed / 3, qkv.device());
    let longest = packing.lengths().iter().max().copied().unwrap_or(0);
    let (mut padded, mut own, mut next) = (Vec::new(), Vec::new(), common);
    for (text, &length) in packing.lengths().iter().enumerate() {
        let last = next + length - 1;
        padded.extend((0..common).chain((0..longest).map(|place| last.min(next + place))));
        own.extend((0..length).map(|place| text * (common + longest) + common + place));
        next += length;
    }
    let rows = |rows: Vec<usize>| {
        let count = rows.len();
        let rows = rows.into_iter().map(|row| row as i32).collect::<Vec<i32>>();
        Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &device)
    };
    let texts = packing.lengths().len();
    let beginning = attention(qkv.clone().narrow(1, 0, common), heads, AttentionMask::Causal);
    let all = qkv.reshape([positions, packed]).select(0, rows(padded));
    let mixed = attention(all.reshape([texts, common + longest, packed]), heads, AttentionMask::Causal);
    let mixed = mixed.reshape([texts * (common + longest), width]).select(0, rows(own));
    Tensor::cat(vec![beginning, mixed.unsqueeze()], 1)
}

/// `[mask > threshold] weight`; see [`crate::masked_weight`]. The value is exact because what carries the gradient,
/// `mask - detached mask`, is 0 before it is added.
pub fn masked_weight(weight: Tensor<1>, mask: Tensor<1>, threshold: f64) -> Tensor<1> {
    let on = mask.clone().greater_elem(threshold).cast(FloatDType::from(mask.dtype()));
    (on + (mask.clone() - mask.detach())) * weight
}

/// A linear layer of a masked weight; see [`crate::masked_linear`].
pub fn masked_linear(
    x: Tensor<3>,
    masked: MaskedWeight,
    bias: Tensor<1>,
    residual: Option<Tensor<3>>,
) -> Tensor<3> {
    let [out, width] = masked.weight.dims();
    let [weight, mask] = [masked.weight, masked.mask].map(|values| values.reshape([out * width]));
    let output = linear(x, masked_weight(weight, mask, masked.threshold).reshape([out, width]), Some(bias));
    match residual {
        Some(residual) => residual + output,
        None => output,
    }
}

/// A square convolution; see [`crate::conv2d`].
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    module::conv2d(x, weight, bias, ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1))
}

/// Batch normalisation with the statistics of the batch; see [`crate::batch_norm`].
pub fn batch_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> Normalised<D> {
    let normalised = module::batch_norm_train(x, weight, bias, eps);
    let [mean, variance] = [normalised.mean, normalised.variance].map(Tensor::detach);
    Normalised { output: normalised.output, mean, variance }
}

/// `max(x, 0)`; see [`crate::relu`].
pub fn relu(x: Tensor<4>) -> Tensor<4> {
    activation::relu(x)
}
