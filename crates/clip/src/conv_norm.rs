//! A convolution followed by batch normalisation: what residual networks are made of.
//!
//! Both are modules of their own, because their parameters are named so, and are always computed
//! together, because a normalisation with fixed statistics costs nothing inside the convolution.

use crate::injection::Scope;
use crate::parameters::vacant;
use crate::running_statistics::{BatchNormParameters, EPS, Normalisation};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use regulus_kernels::conv2d;

/// A square convolution without bias, padded by half its size.
#[derive(Module, Debug)]
pub(crate) struct Conv {
    /// `[out, in, side, side]`
    weight: Param<Tensor<4>>,
    stride: usize,
}

impl Conv {
    pub(crate) fn vacant(inputs: usize, outputs: usize, side: usize, stride: usize, device: &Device) -> Self {
        Self { weight: vacant([outputs, inputs, side, side], device), stride }
    }

    fn forward(&self, x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
        let padding = weight.dims()[3] / 2;
        conv2d(x, weight, bias, self.stride, padding)
    }
}

/// Batch normalisation (Ioffe and Szegedy 2015): `(x - mean) / sqrt(variance + eps) * weight + bias`
/// in each channel.
#[derive(Module, Debug)]
pub(crate) struct BatchNorm {
    /// `[channels]`, as all others.
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    running_mean: Param<Tensor<1>>,
    running_var: Param<Tensor<1>>,
}

impl BatchNorm {
    pub(crate) fn vacant(channels: usize, device: &Device) -> Self {
        let vacant = || vacant([channels], device);
        Self { weight: vacant(), bias: vacant(), running_mean: vacant(), running_var: vacant() }
    }
}

/// The normalised convolution, from the modules of the names given at `scope`.
///
/// # Shapes
/// - `x`: `[batch, in, height, width]`
/// - output: `[batch, out, height / stride, width / stride]`, rounded up
///
/// # Panics
/// If the statistics of the batch are wanted and there is only one value per channel.
pub(crate) fn conv_norm(
    x: Tensor<4>,
    (conv_name, conv): (&str, &Conv),
    (norm_name, norm): (&str, &BatchNorm),
    scope: &Scope<'_>,
    normalisation: &mut Normalisation<'_>,
) -> Tensor<4> {
    let kernel = scope.enter(conv_name).single_weight("weight", &conv.weight);
    let scope = scope.enter(norm_name);
    let (weight, bias) =
        (scope.single_weight("weight", &norm.weight), scope.single_weight("bias", &norm.bias));
    let mean = scope.single_weight("running_mean", &norm.running_mean);
    let variance = scope.single_weight("running_var", &norm.running_var);
    let precision = scope.precision();
    match normalisation {
        Normalisation::Running => {
            let scale = weight / (variance + EPS).sqrt();
            let shift = bias - mean * scale.clone();
            let [outputs, ..] = kernel.dims();
            let kernel = kernel * scale.reshape([outputs, 1, 1, 1]);
            conv.forward(x, precision.narrow(kernel), Some(precision.narrow(shift)))
        }
        Normalisation::Batch(running) => {
            let x = precision.widen(conv.forward(x, precision.narrow(kernel), None));
            let norm = BatchNormParameters { weight, bias, running_mean: mean, running_var: variance };
            precision.narrow(running.normalise(x, norm, scope.place()))
        }
    }
}
