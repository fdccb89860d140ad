//! The residual network of CLIP's image tower.

use crate::attention_pool::AttentionPool;
use crate::config::ResNetConfig;
use crate::conv_norm::{BatchNorm, Conv, conv_norm};
use crate::image_tower::IMAGE_TOWER;
use crate::injection::{Injection, Scope};
use crate::precision::Precision;
use crate::residual::{BlockKind, LayerShape, Reduction, ResidualBlock, average_pool, run_layers};
use crate::running_statistics::Normalisation;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use regulus_kernels::relu;

/// OpenAI's modified ResNet (openai/CLIP, `clip/model.py`): a stem of three convolutions, average
/// pools in the place of strides, and an attention pool at the end.
///
/// Batch normalisation always uses the running statistics, as it does in a frozen model. They are
/// read like weights, from the paths `visual.….running_mean` and `running_var`.
#[derive(Module, Debug)]
pub struct ModifiedResNet {
    conv1: Conv,
    bn1: BatchNorm,
    conv2: Conv,
    bn2: BatchNorm,
    conv3: Conv,
    bn3: BatchNorm,
    layer1: Vec<ResidualBlock>,
    layer2: Vec<ResidualBlock>,
    layer3: Vec<ResidualBlock>,
    layer4: Vec<ResidualBlock>,
    attnpool: AttentionPool,
    #[module(skip)]
    precision: Precision,
}

/// The intermediate results of one forward pass of a [`ModifiedResNet`].
#[derive(Debug, Clone)]
pub struct ModifiedResNetStates {
    /// After the stem's first convolution, normalisation and ReLU,
    /// `[batch, width / 2, resolution / 2, resolution / 2]`.
    pub stem_first: Tensor<4>,
    /// After the stem's average pool, `[batch, width, resolution / 4, resolution / 4]`.
    pub stem: Tensor<4>,
    /// Output of each layer: `[batch, 4 width, resolution / 4, resolution / 4]`, then twice the
    /// channels and half the side from layer to layer.
    pub layers: Vec<Tensor<4>>,
    /// The attention pool's mixed values before its projection, `[batch, 32 width]`.
    pub pooled: Tensor<2>,
    /// The projected feature, not normalised, `[batch, embed_dim]`.
    pub features: Tensor<2>,
}

impl ModifiedResNet {
    pub(crate) fn vacant(config: &ResNetConfig, embed_dim: usize, device: &Device) -> Self {
        let (width, half) = (config.width, config.width / 2);
        let stem = |inputs, outputs, stride| Conv::vacant(inputs, outputs, 3, stride, device);
        let norm = |channels| BatchNorm::vacant(channels, device);
        let widths = config.layer_widths();
        let layer = |index: usize| {
            let outputs = |index: usize| ResNetConfig::EXPANSION * widths[index];
            let shape = LayerShape {
                kind: BlockKind::Bottleneck,
                reduction: Reduction::AveragePool,
                blocks: config.blocks[index],
                inputs: if index == 0 { width } else { outputs(index - 1) },
                inner: widths[index],
                outputs: outputs(index),
                factor: if index == 0 { 1 } else { 2 },
            };
            ResidualBlock::layer(&shape, device)
        };
        let pooled = config.pooled_width();
        Self {
            conv1: stem(3, half, 2),
            bn1: norm(half),
            conv2: stem(half, half, 1),
            bn2: norm(half),
            conv3: stem(half, width, 1),
            bn3: norm(width),
            layer1: layer(0),
            layer2: layer(1),
            layer3: layer(2),
            layer4: layer(3),
            attnpool: AttentionPool::vacant(config.positions(), pooled, config.heads, embed_dim, device),
            precision: Precision::F32,
        }
    }

    /// Makes the convolutions compute in `precision`.
    pub(crate) fn compute_in(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// Width of the features after the projection.
    pub fn embed_dim(&self) -> usize {
        self.attnpool.embed_dim()
    }

    /// Width of [`Self::pooled`].
    pub fn pooled_width(&self) -> usize {
        self.attnpool.width()
    }

    /// The attention pool's mixed values: what the projection, and a linear probe, reads.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, resolution, resolution]`, normalised as the model expects
    /// - output: `[batch, 32 width]`
    ///
    /// # Panics
    /// If the pixels are not of the model's resolution.
    pub fn pooled(&self, pixels: Tensor<4>, injection: &Injection) -> Tensor<2> {
        let scope = self.convolutions(injection);
        let stem = self.stem(self.stem_first(pixels, &scope), &scope);
        let last = self.layers(stem, &scope, |_| {});
        self.mix(last, injection)
    }

    /// Projects [`Self::pooled`] into the shared embedding space.
    ///
    /// # Shapes
    /// - `pooled`: `[batch, 32 width]`
    /// - output: `[batch, embed_dim]`, not normalised
    pub fn project(&self, pooled: Tensor<2>, injection: &Injection) -> Tensor<2> {
        let scope = Scope::root(injection).enter(IMAGE_TOWER);
        self.attnpool.project(pooled, &scope.enter("attnpool"))
    }

    /// All intermediate results of the forward pass.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, resolution, resolution]`, normalised as the model expects
    ///
    /// # Panics
    /// If the pixels are not of the model's resolution.
    pub fn hidden_states(&self, pixels: Tensor<4>, injection: &Injection) -> ModifiedResNetStates {
        let scope = self.convolutions(injection);
        let shown = |x: &Tensor<4>| self.precision.leave(x.clone());
        let stem_first = self.stem_first(pixels, &scope);
        let stem = self.stem(stem_first.clone(), &scope);
        let mut layers = Vec::new();
        let last = self.layers(stem.clone(), &scope, |x| layers.push(shown(x)));
        let pooled = self.mix(last, injection);
        let features = self.project(pooled.clone(), injection);
        ModifiedResNetStates { stem_first: shown(&stem_first), stem: shown(&stem), layers, pooled, features }
    }

    /// Where the stem and the layers are, in their precision.
    fn convolutions<'a>(&self, injection: &'a Injection) -> Scope<'a> {
        Scope::root(injection).enter(IMAGE_TOWER).computing_in(self.precision)
    }

    /// The attention pool on what the last layer yields.
    fn mix(&self, last: Tensor<4>, injection: &Injection) -> Tensor<2> {
        let scope = Scope::root(injection).enter(IMAGE_TOWER).enter("attnpool");
        self.attnpool.mix(self.precision.leave(last), &scope)
    }

    fn stem_first(&self, pixels: Tensor<4>, scope: &Scope<'_>) -> Tensor<4> {
        let normalisation = &mut Normalisation::Running;
        let pixels = self.precision.enter(pixels);
        relu(conv_norm(pixels, ("conv1", &self.conv1), ("bn1", &self.bn1), scope, normalisation))
    }

    fn stem(&self, x: Tensor<4>, scope: &Scope<'_>) -> Tensor<4> {
        let normalisation = &mut Normalisation::Running;
        let x = relu(conv_norm(x, ("conv2", &self.conv2), ("bn2", &self.bn2), scope, normalisation));
        let x = relu(conv_norm(x, ("conv3", &self.conv3), ("bn3", &self.bn3), scope, normalisation));
        average_pool(x, 2)
    }

    fn layers(&self, x: Tensor<4>, scope: &Scope<'_>, observe: impl FnMut(&Tensor<4>)) -> Tensor<4> {
        let layers = [&self.layer1[..], &self.layer2, &self.layer3, &self.layer4];
        run_layers(layers, x, scope, &mut Normalisation::Running, observe)
    }
}
