//! What residual networks are made of besides linear layers: convolution, batch normalisation, ReLU.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex::{self, BatchNorm, Convolution, Input, Relu};
#[cfg(feature = "flex")]
use crate::products;
use crate::reference;

/// A square convolution without dilation or groups (PyTorch's `conv2d`): every output is the product of its window of
/// `x`, padded with zeros, and a kernel.
///
/// # Shapes
///
/// - `x`: `[batch, in, height, width]`
/// - `weight`: `[out, in, side, side]`, as PyTorch's `nn.Conv2d` stores it
/// - `bias`: `[out]`
/// - result: `[batch, out, (height + 2 padding - side) / stride + 1, (width + 2 padding - side) / stride + 1]`,
///   rounded down
///
/// # Panics
///
/// If the shapes do not agree, the stride is 0, or the padded image is smaller than the kernel.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let ([_, channels, height, width], [out, inputs, side, across]) = (x.dims(), weight.dims());
    assert_eq!(channels, inputs, "conv2d: `x` has {channels} channels, `weight` takes {inputs}");
    assert_eq!(side, across, "conv2d: kernels of {side} x {across} are not square");
    assert!(stride > 0, "conv2d: a stride of 0");
    assert!(
        side > 0 && height.min(width) + 2 * padding >= side,
        "conv2d: kernels of side {side} in {height} x {width} padded by {padding}"
    );
    if let Some([length]) = bias.as_ref().map(Tensor::dims) {
        assert_eq!(length, out, "conv2d: `weight` yields {out} channels, `bias` has {length}");
    }
    #[cfg(feature = "flex")]
    if let (Some(x_input), Some(weight_input)) = (Input::new(&x), Input::new(&weight)) {
        let operation = Convolution { stride, padding, precision: products::precision() };
        match bias.as_ref().map(Input::new) {
            None => {
                drop((x, weight));
                return flex::apply(operation, [x_input, weight_input]);
            }
            Some(Some(bias_input)) => {
                drop((x, weight, bias));
                return flex::apply(operation, [x_input, weight_input, bias_input]);
            }
            Some(None) => {}
        }
    }
    reference::conv2d(x, weight, bias, stride, padding)
}

/// What batch normalisation makes of a batch.
#[derive(Debug, Clone)]
pub struct Normalised<const D: usize> {
    /// The normalised batch.
    pub output: Tensor<D>,
    /// The mean of each channel, `[channels]`, without gradients.
    pub mean: Tensor<1>,
    /// The biased variance of each channel, `[channels]`, without gradients.
    pub variance: Tensor<1>,
}

/// Batch normalisation (Ioffe and Szegedy 2015) with the statistics of the batch:
/// `(x - mean) / sqrt(variance + eps) * weight + bias` in each channel, differentiated through both statistics.
///
/// # Shapes
///
/// - `x`, output: `[batch, channels, ..]`
/// - `weight`, `bias`: `[channels]`
///
/// # Panics
///
/// If the shapes do not agree.
pub fn batch_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> Normalised<D> {
    let channels = x.shape().as_slice().get(1).copied().unwrap_or(0);
    let ([weights], [biases]) = (weight.dims(), bias.dims());
    assert!(
        weights == channels && biases == channels,
        "batch_norm: {channels} channels, `weight` has {weights} and `bias` {biases}"
    );
    #[cfg(feature = "flex")]
    if let (Some(input), Some(weight_input), Some(bias_input)) =
        (Input::new(&x), Input::new(&weight), Input::new(&bias))
    {
        let operation = BatchNorm::of(&input, eps as f32);
        let [mean, variance] = operation.statistics().map(|values| {
            let data = burn::tensor::TensorData::new(values, [channels]);
            Tensor::from_data(data, &x.device())
        });
        drop((x, weight, bias));
        let output = flex::apply(operation, [input, weight_input, bias_input]);
        return Normalised { output, mean, variance };
    }
    reference::batch_norm(x, weight, bias, eps)
}

/// `max(x, 0)`, elementwise; its gradient at 0 is 0.
pub fn relu(x: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(input) = Input::new(&x) {
        drop(x);
        return flex::apply(Relu, [input]);
    }
    reference::relu(x)
}

/// `max(x + shortcut, 0)`, elementwise, of two tensors of one shape: how a residual block ends.
///
/// # Panics
///
/// If the shapes differ.
pub fn add_relu(x: Tensor<4>, shortcut: Tensor<4>) -> Tensor<4> {
    assert_eq!(x.dims(), shortcut.dims(), "add_relu: the shapes differ");
    #[cfg(feature = "flex")]
    if let (Some(x_input), Some(shortcut_input)) = (Input::new(&x), Input::new(&shortcut)) {
        drop((x, shortcut));
        return flex::apply(Relu, [x_input, shortcut_input]);
    }
    reference::relu(x + shortcut)
}
