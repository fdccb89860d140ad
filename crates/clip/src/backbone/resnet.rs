//! The residual networks of torchvision and timm (He et al. 2016).

mod architecture;
mod layout;

pub use architecture::{ResNetArchitecture, ResNetLayer};

use super::{Backbone, BackboneError, LoadedBackbone};
use crate::block::Linear;
use crate::config::ConfigError;
use crate::conv_norm::{BatchNorm, Conv, conv_norm};
use crate::init;
use crate::injection::{Injection, Scope};
use crate::parameters::filled;
use crate::residual::{LayerShape, Reduction, ResidualBlock, run_layers};
use crate::running_statistics::Normalisation;
use crate::weights::{self, WeightsError};
use burn::module::Module;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use layout::ResNetLayout;
use regulus_checkpoints::Checkpoint;
use regulus_kernels::relu;
use std::path::Path;

/// ResNet-18 to 152, and all others of basic or bottleneck blocks without groups. A bottleneck block
/// has its stride on the 3x3 convolution (torchvision, timm; "ResNet v1.5").
///
/// Parameters have torchvision's names. Batch normalisation uses running statistics, which are
/// parameters like all others, or those of the batch.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv,
    bn1: BatchNorm,
    layer1: Vec<ResidualBlock>,
    layer2: Vec<ResidualBlock>,
    layer3: Vec<ResidualBlock>,
    layer4: Vec<ResidualBlock>,
    fc: Option<Linear>,
    width: usize,
}

/// The intermediate results of one forward pass of a [`ResNet`].
#[derive(Debug, Clone)]
pub struct ResNetStates {
    /// After the stem's max pool, `[batch, channels, height / 4, width / 4]`, rounded up.
    pub stem: Tensor<4>,
    /// Output of each layer; all but the first halve each side, rounded up.
    pub layers: Vec<Tensor<4>>,
    /// The mean of the last layer's output over the image, `[batch, width]`.
    pub features: Tensor<2>,
}

impl ResNet {
    /// Loads a checkpoint. The architecture is inferred from the shapes of the tensors. Their names
    /// may be torchvision's (timm has the same), may stand under `module.` (`DataParallel`), under
    /// `state_dict.` (training scripts), or be those of MoCo's query encoder
    /// (`state_dict.module.encoder_q.`), whose projection head and other parts are ignored.
    ///
    /// # Errors
    /// [`BackboneError`]: a file that is damaged or holds no such network, grouped convolutions
    /// (ResNeXt), or tensors that do not fit, of which all are listed.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<LoadedBackbone, BackboneError> {
        Self::read(&Checkpoint::open(path).map_err(WeightsError::from)?, device)
    }

    /// A network with random parameters, drawn as torchvision does: the start of pre-training.
    ///
    /// Every parameter is drawn from a stream of its own, keyed by `seed` and its path.
    ///
    /// # Errors
    /// [`ConfigError`] for sizes that are 0 or absurd.
    pub fn init(architecture: &ResNetArchitecture, seed: u64, device: &Device) -> Result<Self, ConfigError> {
        architecture.check()?;
        let draw = &mut |path: &str, shape: &[usize]| Some(init::resnet_backbone(seed, path, shape, device));
        Ok(filled(Self::vacant(architecture, device), draw))
    }

    /// The architecture of the network of an open checkpoint.
    pub(super) fn described(checkpoint: &Checkpoint) -> Result<ResNetArchitecture, BackboneError> {
        ResNetArchitecture::infer(checkpoint, &ResNetLayout::detect(checkpoint)?)
    }

    /// Reads the network of an open checkpoint.
    pub(crate) fn read(checkpoint: &Checkpoint, device: &Device) -> Result<LoadedBackbone, BackboneError> {
        let layout = ResNetLayout::detect(checkpoint)?;
        let architecture = ResNetArchitecture::infer(checkpoint, &layout)?;
        let resnet = weights::read(Self::vacant(&architecture, device), &layout, checkpoint, device)?;
        let backbone = Backbone::ResNet(resnet);
        Ok(LoadedBackbone {
            preprocess: backbone.preprocess(),
            backbone,
            batches: layout.batches(checkpoint),
            ignored: layout.ignored(checkpoint),
            sha256: checkpoint.sha256(),
        })
    }

    fn vacant(architecture: &ResNetArchitecture, device: &Device) -> Self {
        let stem = architecture.stem;
        let layer = |index: usize| {
            let ResNetLayer { blocks, inner, outputs } = architecture.layers[index];
            let shape = LayerShape {
                kind: architecture.kind,
                reduction: Reduction::Stride,
                blocks,
                inputs: if index == 0 { stem } else { architecture.layers[index - 1].outputs },
                inner,
                outputs,
                factor: if index == 0 { 1 } else { 2 },
            };
            ResidualBlock::layer(&shape, device)
        };
        let width = architecture.width();
        Self {
            conv1: Conv::vacant(3, stem, 7, 2, device),
            bn1: BatchNorm::vacant(stem, device),
            layer1: layer(0),
            layer2: layer(1),
            layer3: layer(2),
            layer4: layer(3),
            fc: architecture.classes.map(|classes| Linear::vacant(width, classes, device)),
            width,
        }
    }

    /// Width of the features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The mean of the last layer's output over the image.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, height, width]`, of any size
    /// - output: `[batch, width]`
    ///
    /// # Panics
    /// With [`Normalisation::Batch`], if there is only one value per channel: one image of at most
    /// 32 pixels.
    pub fn features(
        &self,
        pixels: Tensor<4>,
        injection: &Injection,
        mut normalisation: Normalisation<'_>,
    ) -> Tensor<2> {
        let scope = scope(injection, &normalisation);
        let stem = self.stem(pixels, &scope, &mut normalisation);
        mean_over_image(run_layers(self.layers(), stem, &scope, &mut normalisation, |_| {}))
    }

    /// The logits of the classifier that the network was trained with; `None` if the file has none.
    ///
    /// # Shapes
    /// - `features`: `[batch, width]`
    /// - output: `[batch, classes]`
    pub fn logits(&self, features: Tensor<2>, injection: &Injection) -> Option<Tensor<2>> {
        let scope = Scope::root(injection).enter("fc");
        self.fc.as_ref().map(|fc| fc.forward(features.unsqueeze_dim(1), &scope).squeeze_dim(1))
    }

    /// All intermediate results of the forward pass.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, height, width]`, of any size
    ///
    /// # Panics
    /// As [`Self::features`].
    pub fn hidden_states(
        &self,
        pixels: Tensor<4>,
        injection: &Injection,
        mut normalisation: Normalisation<'_>,
    ) -> ResNetStates {
        let scope = scope(injection, &normalisation);
        let stem = self.stem(pixels, &scope, &mut normalisation);
        let mut layers = Vec::new();
        let keep = |x: &Tensor<4>| layers.push(x.clone());
        let last = run_layers(self.layers(), stem.clone(), &scope, &mut normalisation, keep);
        ResNetStates { stem, layers, features: mean_over_image(last) }
    }

    fn stem(&self, pixels: Tensor<4>, scope: &Scope<'_>, normalisation: &mut Normalisation<'_>) -> Tensor<4> {
        let x = conv_norm(pixels, ("conv1", &self.conv1), ("bn1", &self.bn1), scope, normalisation);
        max_pool2d(relu(x), MaxPoolOptions::new([3; 2]).with_stride([2; 2]).with_padding([1; 2]))
    }

    fn layers(&self) -> [&[ResidualBlock]; 4] {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4]
    }
}

/// Only the statistics of a batch are reported by path.
fn scope<'a>(injection: &'a Injection, normalisation: &Normalisation<'_>) -> Scope<'a> {
    match normalisation {
        Normalisation::Running => Scope::root(injection),
        Normalisation::Batch(_) => Scope::named_root(injection),
    }
}

/// `[batch, channels, height, width]` to `[batch, channels]`.
fn mean_over_image(x: Tensor<4>) -> Tensor<2> {
    x.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
}
