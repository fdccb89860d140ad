//! The residual block (He et al. 2016), in the two forms that torchvision and OpenAI give it.

use crate::conv_norm::{BatchNorm, Conv, conv_norm};
use crate::injection::Scope;
use crate::running_statistics::Normalisation;
use burn::module::Module;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor};
use regulus_kernels::{add_relu, relu};

/// What the convolutions of a block do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Two of 3x3: ResNet-18 and 34.
    Basic,
    /// 1x1, 3x3, 1x1, the middle ones with fewer channels: ResNet-50 and larger.
    Bottleneck,
}

/// How a block makes the image smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reduction {
    /// By the stride of its (first) 3x3 convolution and of the shortcut: torchvision.
    Stride,
    /// By an average pool before the last convolution and before that of the shortcut: OpenAI.
    AveragePool,
}

/// The sizes of a layer: a stack of blocks of which the first changes sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerShape {
    pub kind: BlockKind,
    pub reduction: Reduction,
    pub blocks: usize,
    /// Channels of the image that the layer reads.
    pub inputs: usize,
    /// Channels between the convolutions of a block.
    pub inner: usize,
    pub outputs: usize,
    /// By how much the layer reduces each side.
    pub factor: usize,
}

/// Convolutions, and a shortcut that is added to their result.
#[derive(Module, Debug)]
pub(crate) struct ResidualBlock {
    conv1: Conv,
    bn1: BatchNorm,
    conv2: Conv,
    bn2: BatchNorm,
    conv3: Option<Conv>,
    bn3: Option<BatchNorm>,
    downsample: Option<(Conv, BatchNorm)>,
    /// Side of the average pool.
    pool: usize,
}

impl ResidualBlock {
    /// Blocks of a layer.
    pub(crate) fn layer(shape: &LayerShape, device: &Device) -> Vec<Self> {
        let first = Self::vacant(shape, device);
        let others = LayerShape { inputs: shape.outputs, factor: 1, ..*shape };
        let others = (1..shape.blocks).map(|_| Self::vacant(&others, device));
        std::iter::once(first).chain(others).collect()
    }

    fn vacant(shape: &LayerShape, device: &Device) -> Self {
        let LayerShape { kind, reduction, inputs, inner, outputs, factor, .. } = *shape;
        let (stride, pool) = match reduction {
            Reduction::Stride => (factor, 1),
            Reduction::AveragePool => (1, factor),
        };
        let conv = |inputs, outputs, side, stride| Conv::vacant(inputs, outputs, side, stride, device);
        let norm = |channels| BatchNorm::vacant(channels, device);
        let (conv1, conv2, conv3, bn3) = match kind {
            BlockKind::Basic => (conv(inputs, inner, 3, stride), conv(inner, outputs, 3, 1), None, None),
            BlockKind::Bottleneck => (
                conv(inputs, inner, 1, 1),
                conv(inner, inner, 3, stride),
                Some(conv(inner, outputs, 1, 1)),
                Some(norm(outputs)),
            ),
        };
        let bn2 = norm(if kind == BlockKind::Basic { outputs } else { inner });
        let is_changed = factor != 1 || inputs != outputs;
        let downsample = is_changed.then(|| (conv(inputs, outputs, 1, stride), norm(outputs)));
        Self { conv1, bn1: norm(inner), conv2, bn2, conv3, bn3, downsample, pool }
    }

    fn forward(&self, x: Tensor<4>, scope: &Scope<'_>, normalisation: &mut Normalisation<'_>) -> Tensor<4> {
        let inside = conv_norm(x.clone(), ("conv1", &self.conv1), ("bn1", &self.bn1), scope, normalisation);
        let inside =
            conv_norm(relu(inside), ("conv2", &self.conv2), ("bn2", &self.bn2), scope, normalisation);
        let inside = match (&self.conv3, &self.bn3) {
            (Some(conv), Some(norm)) => {
                let pooled = average_pool(relu(inside), self.pool);
                conv_norm(pooled, ("conv3", conv), ("bn3", norm), scope, normalisation)
            }
            _ => inside,
        };
        let shortcut = match &self.downsample {
            Some((conv, norm)) => {
                let (pooled, scope) = (average_pool(x, self.pool), scope.enter("downsample"));
                conv_norm(pooled, ("0", conv), ("1", norm), &scope, normalisation)
            }
            None => x,
        };
        add_relu(inside, shortcut)
    }
}

/// Runs the layers `layer1` to `layer4` of a network and shows `observe` the output of each.
///
/// # Shapes
/// - `x`: `[batch, inputs of the first, height, width]`
/// - output: `[batch, outputs of the last, height / factors, width / factors]`
pub(crate) fn run_layers(
    layers: [&[ResidualBlock]; 4],
    mut x: Tensor<4>,
    scope: &Scope<'_>,
    normalisation: &mut Normalisation<'_>,
    mut observe: impl FnMut(&Tensor<4>),
) -> Tensor<4> {
    for (name, blocks) in ["layer1", "layer2", "layer3", "layer4"].into_iter().zip(layers) {
        let scope = scope.enter(name);
        for (index, block) in blocks.iter().enumerate() {
            x = block.forward(x, &scope.item(index), normalisation);
        }
        observe(&x);
    }
    x
}

/// The mean of each square of `side` pixels.
pub(crate) fn average_pool(x: Tensor<4>, side: usize) -> Tensor<4> {
    if side == 1 { x } else { avg_pool2d(x, AvgPoolOptions::new([side; 2])) }
}
