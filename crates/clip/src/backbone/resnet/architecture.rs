//! The architecture of a ResNet, as the shapes of its tensors say it.

use super::layout::ResNetLayout;
use crate::backbone::BackboneError;
use crate::config::{Check, ConfigError, LAYER_LIMIT, SIZE_LIMIT};
use crate::residual::BlockKind;
use regulus_checkpoints::Checkpoint;

/// The sizes of a ResNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNetArchitecture {
    /// What the blocks are made of.
    pub kind: BlockKind,
    /// Channels of the first convolution.
    pub stem: usize,
    /// The four layers.
    pub layers: [ResNetLayer; 4],
    /// Number of classes of the classifier; `None` without one.
    pub classes: Option<usize>,
}

/// The sizes of one layer of a ResNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResNetLayer {
    /// Number of blocks.
    pub blocks: usize,
    /// Channels between the convolutions of a block.
    pub inner: usize,
    /// Channels of a block's output.
    pub outputs: usize,
}

impl ResNetArchitecture {
    /// Width of the features.
    pub fn width(&self) -> usize {
        self.layers[3].outputs
    }

    /// Checks every size.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut check = Check::default();
        check.size("stem", self.stem, SIZE_LIMIT);
        for (index, layer) in self.layers.iter().enumerate() {
            check.size(&format!("layers[{index}].blocks"), layer.blocks, LAYER_LIMIT);
            check.size(&format!("layers[{index}].inner"), layer.inner, SIZE_LIMIT);
            check.size(&format!("layers[{index}].outputs"), layer.outputs, SIZE_LIMIT);
        }
        if let Some(classes) = self.classes {
            check.size("classes", classes, SIZE_LIMIT);
        }
        check.finish(|| self.most_parameters())
    }

    /// Number of parameters, with a shortcut of its own for every block, which most have not.
    fn most_parameters(&self) -> u128 {
        let wide = |value: usize| value as u128;
        let mut inputs = wide(self.stem);
        let mut count = 49 * 3 * inputs;
        for layer in &self.layers {
            let (blocks, inner, outputs) = (wide(layer.blocks), wide(layer.inner), wide(layer.outputs));
            let widest = inputs.max(outputs);
            count += blocks * (9 * widest * inner + 9 * inner * inner.max(outputs) + widest * outputs);
            inputs = outputs;
        }
        count + inputs * wide(self.classes.unwrap_or(0))
    }

    /// The architecture that the tensors of a checkpoint promise. Whether all of them keep it is
    /// found when they are read.
    pub(super) fn infer(checkpoint: &Checkpoint, layout: &ResNetLayout) -> Result<Self, BackboneError> {
        let tensors = Tensors { checkpoint, layout };
        let kind = match tensors.find("layer1.0.conv3.weight") {
            Some(_) => BlockKind::Bottleneck,
            None => BlockKind::Basic,
        };
        let [stem, ..] = tensors.convolution("conv1.weight")?;
        Ok(Self {
            kind,
            stem,
            layers: [
                tensors.layer("layer1", kind)?,
                tensors.layer("layer2", kind)?,
                tensors.layer("layer3", kind)?,
                tensors.layer("layer4", kind)?,
            ],
            classes: tensors.classes()?,
        })
    }
}

/// The tensors of a checkpoint by torchvision's names.
struct Tensors<'a> {
    checkpoint: &'a Checkpoint,
    layout: &'a ResNetLayout,
}

impl Tensors<'_> {
    fn layer(&self, layer: &str, kind: BlockKind) -> Result<ResNetLayer, BackboneError> {
        let [inner, ..] = self.convolution(&format!("{layer}.0.conv1.weight"))?;
        let second = format!("{layer}.0.conv2.weight");
        let [channels, inputs, ..] = self.convolution(&second)?;
        if inputs != inner {
            let found = format!("a convolution of {inputs} of {inner} channels");
            return Err(self.unsupported(&second, found, "one without groups (ResNeXt is not supported)"));
        }
        let outputs = match kind {
            BlockKind::Basic => channels,
            BlockKind::Bottleneck => self.convolution(&format!("{layer}.0.conv3.weight"))?[0],
        };
        let is_block = |index: &usize| self.find(&format!("{layer}.{index}.conv1.weight")).is_some();
        Ok(ResNetLayer { blocks: (0..).take_while(is_block).count(), inner, outputs })
    }

    /// The shape `[out, in, side, side]` of a convolution's weight.
    fn convolution(&self, path: &str) -> Result<[usize; 4], BackboneError> {
        match self.find(path) {
            Some(&[outputs, inputs, height, width]) if outputs > 0 && inputs > 0 => {
                Ok([outputs, inputs, height, width])
            }
            found => Err(self.unsupported(path, described(found), "the weight of a convolution")),
        }
    }

    fn classes(&self) -> Result<Option<usize>, BackboneError> {
        match self.find("fc.weight") {
            None => Ok(None),
            Some(_) if self.layout.is_contrastive() => Ok(None),
            Some(&[classes, _]) if classes > 0 => Ok(Some(classes)),
            found => Err(self.unsupported("fc.weight", described(found), "the weight of a classifier")),
        }
    }

    fn find(&self, path: &str) -> Option<&[usize]> {
        self.checkpoint.tensor(&self.layout.key(path)).map(|tensor| tensor.shape())
    }

    fn unsupported(&self, path: &str, found: String, expected: &str) -> BackboneError {
        let (key, expected) = (self.layout.key(path), expected.to_string());
        BackboneError::Unsupported { path: self.checkpoint.path().into(), key, found, expected }
    }
}

fn described(shape: Option<&[usize]>) -> String {
    shape.map_or("missing".to_string(), |shape| format!("of shape {shape:?}"))
}
