//! What an image encoder costs, whatever its architecture.

use regulus_clip::{
    BackboneArchitecture, BlockKind, ClipConfig, FROZEN_POSITIONS, ImageConfig, ResNetArchitecture,
    ResNetConfig, TextConfig, VitConfig,
};

use super::blocks::{Blocks, F32, Numbers, Operations, Tracked};

/// An image encoder's sizes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImageEncoder {
    /// Side of the images.
    pub side: f64,
    /// Number of parameters, without running statistics.
    pub parameters: f64,
    body: Body,
}

#[derive(Debug, Clone, PartialEq)]
enum Body {
    Vit { blocks: Blocks, patches: f64, patch_values: f64 },
    Convolutional { convolutions: Vec<Convolution>, batch_statistics: bool },
}

/// One convolution of a residual network, with the normalisation behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Convolution {
    inputs: f64,
    outputs: f64,
    kernel: f64,
    /// Places of its input and of its result.
    places: [f64; 2],
}

/// The blocks of CLIP's text tower.
pub(super) fn text_blocks(config: &TextConfig) -> Blocks {
    let TextConfig { width, layers, heads, mlp_width, .. } = *config;
    blocks(width, layers, heads, mlp_width)
}

/// Blocks of these sizes.
pub(super) fn blocks(width: usize, layers: usize, heads: usize, mlp: usize) -> Blocks {
    let [width, layers, heads, mlp] = [width, layers, heads, mlp].map(|size| size as f64);
    Blocks { width, layers, heads, mlp }
}

impl ImageEncoder {
    /// CLIP's image tower.
    pub fn of_clip(config: &ClipConfig) -> Self {
        let embed = config.embed_dim as f64;
        match &config.image {
            ImageConfig::Vit(vit) => {
                let mut encoder = Self::vit(vit);
                // The normalisation before the blocks, and the projection.
                encoder.parameters += vit.width as f64 * (2.0 + embed);
                encoder
            }
            ImageConfig::ResNet(resnet) => Self::modified_resnet(resnet, embed),
        }
    }

    /// A backbone.
    pub fn of_backbone(architecture: &BackboneArchitecture, side: usize) -> Self {
        match architecture {
            BackboneArchitecture::Vit(vit) => {
                let mut encoder = Self::vit(vit);
                encoder.parameters += vit.width as f64;
                encoder
            }
            BackboneArchitecture::ResNet(resnet) => Self::resnet(resnet, side as f64),
        }
    }

    fn vit(config: &VitConfig) -> Self {
        let (width, patches) = (config.width as f64, (config.grid() as f64).powi(2));
        let blocks = blocks(config.width, config.layers, config.heads, config.mlp_width);
        let patch_values = 3.0 * (config.patch as f64).powi(2);
        // Patch embedding, class token and positions, the normalisation behind the blocks.
        let parameters = blocks.parameters() + width * (patch_values + patches + 2.0 + 2.0);
        Self { side: config.resolution as f64, parameters, body: Body::Vit { blocks, patches, patch_values } }
    }

    fn modified_resnet(config: &ResNetConfig, embed: f64) -> Self {
        let side = config.resolution as f64;
        let width = config.width as f64;
        let half = (config.width / 2) as f64;
        let stem = |inputs, outputs, from: f64| Convolution {
            inputs,
            outputs,
            kernel: 9.0,
            places: [from.powi(2), (side / 2.0).powi(2)],
        };
        let mut convolutions =
            vec![stem(3.0, half, side), stem(half, half, side / 2.0), stem(half, width, side / 2.0)];
        let (mut inputs, mut place) = (width, side / 4.0);
        for (index, blocks) in config.blocks.into_iter().enumerate() {
            let inner = width * f64::powi(2.0, index as i32);
            let outputs = 4.0 * inner;
            for block in 0..blocks {
                let after = if block == 0 && index > 0 { place / 2.0 } else { place };
                convolutions.extend(bottleneck(inputs, inner, outputs, [place, place, after], block == 0));
                (inputs, place) = (outputs, after);
            }
        }
        let positions = place * place + 1.0;
        let pool = positions * inputs + 3.0 * (inputs * inputs + inputs) + (inputs + 1.0) * embed;
        Self::convolutional(side, convolutions, pool, false)
    }

    fn resnet(architecture: &ResNetArchitecture, side: f64) -> Self {
        let stem = architecture.stem as f64;
        let half = (side / 2.0).ceil();
        let first =
            Convolution { inputs: 3.0, outputs: stem, kernel: 49.0, places: [side * side, half * half] };
        let mut convolutions = vec![first];
        let (mut inputs, mut place) = (stem, (half / 2.0).ceil());
        for (index, layer) in architecture.layers.iter().enumerate() {
            let (inner, outputs) = (layer.inner as f64, layer.outputs as f64);
            for block in 0..layer.blocks {
                let after = if block == 0 && index > 0 { (place / 2.0).ceil() } else { place };
                let changes = block == 0 && (index > 0 || inputs != outputs);
                match architecture.kind {
                    BlockKind::Bottleneck => {
                        convolutions.extend(bottleneck(
                            inputs,
                            inner,
                            outputs,
                            [place, after, after],
                            changes,
                        ));
                    }
                    BlockKind::Basic => {
                        let square =
                            |inputs, outputs, places| Convolution { inputs, outputs, kernel: 9.0, places };
                        convolutions.push(square(inputs, inner, [place * place, after * after]));
                        convolutions.push(square(inner, outputs, [after * after; 2]));
                        if changes {
                            let places = [place * place, after * after];
                            convolutions.push(Convolution { inputs, outputs, kernel: 1.0, places });
                        }
                    }
                }
                (inputs, place) = (outputs, after);
            }
        }
        Self::convolutional(side, convolutions, 0.0, true)
    }

    fn convolutional(side: f64, convolutions: Vec<Convolution>, others: f64, batch_statistics: bool) -> Self {
        let each = |c: &Convolution| c.kernel * c.inputs * c.outputs + 2.0 * c.outputs;
        let parameters = convolutions.iter().map(each).sum::<f64>() + others;
        Self { side, parameters, body: Body::Convolutional { convolutions, batch_statistics } }
    }

    /// The blocks and the values of a patch, of a vision transformer.
    pub fn transformer(&self) -> Option<(Blocks, f64)> {
        match &self.body {
            Body::Vit { blocks, patch_values, .. } => Some((*blocks, *patch_values)),
            Body::Convolutional { .. } => None,
        }
    }

    /// Entries of all convolutions' kernels; 0 for a vision transformer.
    pub fn kernels(&self) -> f64 {
        match &self.body {
            Body::Vit { .. } => 0.0,
            Body::Convolutional { convolutions, .. } => {
                convolutions.iter().map(|c| c.kernel * c.inputs * c.outputs).sum()
            }
        }
    }

    /// Bytes of an image's pixels.
    pub fn pixels(&self) -> f64 {
        3.0 * self.side * self.side * F32
    }

    /// Bytes that autodiff keeps of one image, with so many learned vectors beside its patches.
    pub fn kept(&self, vectors: f64, tracked: Tracked, numbers: Numbers) -> f64 {
        if !tracked.any {
            return 0.0;
        }
        match &self.body {
            Body::Vit { blocks, patches, .. } => {
                let tokens = patches + 1.0 + vectors;
                let start = if tracked.all { tokens * blocks.width * F32 + self.pixels() } else { 0.0 };
                start + blocks.kept(tokens, tracked, numbers)
            }
            Body::Convolutional { convolutions, batch_statistics } => {
                // Each convolution keeps its input. One before a normalisation by the batch's statistics keeps what
                // it normalises twice.
                let results = if *batch_statistics { 2.0 } else { 0.0 };
                let each = |c: &Convolution| c.inputs * c.places[0] + results * c.outputs * c.places[1];
                convolutions.iter().map(each).sum::<f64>() * numbers.bytes
            }
        }
    }

    /// Bytes that are alive at once in a forward pass of so many images without gradients, their pixels included. If they
    /// are computed in parts, the blocks see one part at a time.
    pub fn alive_in_parts(&self, images: f64, numbers: Numbers) -> f64 {
        let part = match &self.body {
            Body::Vit { patches, .. } => (FROZEN_POSITIONS as f64 / (patches + 1.0)).floor().max(1.0),
            Body::Convolutional { .. } => images,
        };
        let part = part.min(images);
        part * self.alive(0.0, numbers) + (images - part) * self.pixels()
    }

    /// Bytes that are alive at once in a forward pass of one image without gradients, its pixels included.
    pub fn alive(&self, vectors: f64, numbers: Numbers) -> f64 {
        // Once as they are, once in patches or in the order that a convolution wants.
        let pixels = 2.0 * self.pixels();
        pixels
            + match &self.body {
                Body::Vit { blocks, patches, .. } => blocks.alive(patches + 1.0 + vectors, numbers),
                Body::Convolutional { convolutions, .. } => Self::largest(convolutions) * numbers.bytes,
            }
    }

    /// Bytes of the gradients that a backward pass of one image holds besides what was kept.
    pub fn gradients(&self, vectors: f64, numbers: Numbers) -> f64 {
        match &self.body {
            Body::Vit { blocks, patches, .. } => blocks.gradients(patches + 1.0 + vectors, numbers),
            Body::Convolutional { convolutions, .. } => Self::largest(convolutions) * numbers.bytes,
        }
    }

    /// Values of the largest input and result of a convolution, both in two orders.
    fn largest(convolutions: &[Convolution]) -> f64 {
        let each = convolutions.iter().map(|c| c.inputs * c.places[0] + c.outputs * c.places[1]);
        2.0 * each.fold(0.0, f64::max)
    }

    /// Operations of one image.
    pub fn operations(&self, vectors: f64, tracked: Tracked) -> Operations {
        match &self.body {
            Body::Vit { blocks, patches, patch_values } => {
                let tokens = patches + 1.0 + vectors;
                let Operations { forward, backward } = blocks.operations(tokens, tracked);
                let start = 2.0 * patches * patch_values * blocks.width;
                let back = if tracked.all { start } else { 0.0 };
                Operations { forward: forward + start, backward: backward + back }
            }
            Body::Convolutional { convolutions, .. } => {
                let each = |c: &Convolution| 2.0 * c.kernel * c.inputs * c.outputs * c.places[1];
                let forward: f64 = convolutions.iter().map(each).sum();
                let times = match (tracked.any, tracked.attention) {
                    (false, _) => 0.0,
                    (true, false) => 1.0,
                    (true, true) => 2.0,
                };
                Operations { forward, backward: times * forward }
            }
        }
    }
}

/// The convolutions of a bottleneck block with these sides before it, and behind its second and its last convolution.
fn bottleneck(inputs: f64, inner: f64, outputs: f64, sides: [f64; 3], changes: bool) -> Vec<Convolution> {
    let [before, middle, after] = sides.map(|side| side * side);
    let mut convolutions = vec![
        Convolution { inputs, outputs: inner, kernel: 1.0, places: [before, before] },
        Convolution { inputs: inner, outputs: inner, kernel: 9.0, places: [before, middle] },
        Convolution { inputs: inner, outputs, kernel: 1.0, places: [middle, after] },
    ];
    if changes {
        convolutions.push(Convolution { inputs, outputs, kernel: 1.0, places: [before, after] });
    }
    convolutions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::device;
    use regulus_clip::{Clip, RunningStatistics};

    #[test]
    fn parameters_are_those_of_the_published_models() {
        for name in ClipConfig::openai_names() {
            let config = ClipConfig::openai(name).unwrap();
            let shapes = Clip::shapes_of(&config, &device()).unwrap();
            let count = |prefix: &str| -> usize {
                let tower = shapes.iter().filter(|(path, _)| path.starts_with(prefix));
                let trained = tower.filter(|(path, _)| !RunningStatistics::holds(path));
                trained.map(|(_, shape)| shape.iter().product::<usize>()).sum()
            };
            assert_eq!(ImageEncoder::of_clip(&config).parameters, count("visual.") as f64, "{name}");
            let blocks = text_blocks(&config.text).parameters();
            assert_eq!(blocks, count("text.transformer.") as f64, "{name}");
        }
    }

    #[test]
    fn backbones_have_the_usual_number_of_parameters() {
        use regulus_clip::ResNetLayer;
        let layer = |blocks, inner, outputs| ResNetLayer { blocks, inner, outputs };
        // torchvision: 25,557,032 and 11,689,512 with their classifiers of 1000 classes.
        for (kind, layers, expected) in [
            (
                BlockKind::Bottleneck,
                [layer(3, 64, 256), layer(4, 128, 512), layer(6, 256, 1024), layer(3, 512, 2048)],
                25_557_032 - 2049 * 1000,
            ),
            (
                BlockKind::Basic,
                [layer(2, 64, 64), layer(2, 128, 128), layer(2, 256, 256), layer(2, 512, 512)],
                11_689_512 - 513 * 1000,
            ),
        ] {
            let resnet = ResNetArchitecture { kind, stem: 64, layers, classes: None };
            let encoder = ImageEncoder::of_backbone(&BackboneArchitecture::ResNet(resnet), 224);
            assert_eq!(encoder.parameters, f64::from(expected));
        }
    }
}
