//! Models of published sizes with random weights: what takes time does not depend on what the weights are.

use anyhow::Context;
use burn::tensor::Device;
use regulus_clip::{
    Activation, Backbone, BlockKind, Clip, ClipConfig, ImageConfig, LoadedBackbone, Pretrained, ResNet,
    ResNetArchitecture, ResNetLayer, Source, TextConfig, Tokenizer, VitConfig,
};
use regulus_images::Preprocess;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};

/// The sizes of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Model {
    /// CLIP ViT-B/16
    VitB16,
    /// CLIP ViT-B/32
    VitB32,
    /// CLIP ResNet-50
    Rn50,
    /// A model that takes no time: the batches and classes of the cases are smaller too
    Tiny,
}

impl Model {
    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::VitB16 => "vit-b16",
            Self::VitB32 => "vit-b32",
            Self::Rn50 => "rn50",
            Self::Tiny => "tiny",
        }
    }

    /// The architecture.
    pub fn config(self) -> Outcome<ClipConfig> {
        let published = |name: &str| ClipConfig::openai(name).context("a published architecture");
        let config = match self {
            Self::VitB16 => published("ViT-B/16"),
            Self::VitB32 => published("ViT-B/32"),
            Self::Rn50 => published("RN50"),
            Self::Tiny => published("ViT-B/32").map(tiny),
        };
        config.map_err(Failure::Work)
    }

    /// The sizes for the script of the peer; nothing for image towers that it does not have.
    pub fn sizes(self) -> Outcome<Option<Value>> {
        let ClipConfig { embed_dim, image, text, .. } = self.config()?;
        let ImageConfig::Vit(vit) = image else { return Ok(None) };
        let VitConfig { resolution, patch, width, layers, heads, .. } = vit;
        let vision = json!({
            "resolution": resolution, "patch": patch, "width": width, "layers": layers, "heads": heads,
        });
        let TextConfig { vocab, context, width, layers, heads, .. } = text;
        let text = json!({
            "vocab": vocab, "context": context, "width": width, "layers": layers, "heads": heads,
        });
        Ok(Some(json!({ "embed": embed_dim, "vision": vision, "text": text })))
    }

    /// The model with random weights and OpenAI's tokenizer.
    pub fn random(self, device: &Device) -> Outcome<Pretrained> {
        let config = self.config()?;
        let clip = Clip::init(&config, 1, device).map_err(Failure::work)?;
        let preprocess = Preprocess::clip(config.image.resolution());
        Ok(Pretrained {
            config,
            clip,
            tokenizer: Tokenizer::openai(),
            preprocess,
            source: Source::Memory,
            sha256: "random weights".to_owned().into(),
            notices: Vec::new(),
        })
    }

    /// A residual network without texts: torchvision's ResNet-50, or a small one beside the tiny model.
    pub fn backbone(self, device: &Device) -> Outcome<LoadedBackbone> {
        let (stem, blocks) = if self == Self::Tiny { (8, [1; 4]) } else { (64, [3, 4, 6, 3]) };
        let layer = |index: usize| {
            let inner = stem << index;
            ResNetLayer { blocks: blocks[index], inner, outputs: 4 * inner }
        };
        let layers = [layer(0), layer(1), layer(2), layer(3)];
        let architecture = ResNetArchitecture { kind: BlockKind::Bottleneck, stem, layers, classes: None };
        let network = ResNet::init(&architecture, 1, device).map_err(Failure::work)?;
        let side = if self == Self::Tiny { 32 } else { 224 };
        Ok(LoadedBackbone {
            preprocess: Preprocess::clip(side),
            backbone: Backbone::ResNet(network),
            batches: Default::default(),
            ignored: Vec::new(),
            sha256: "random weights".to_owned().into(),
        })
    }
}

/// Towers of 9 narrow layers, as many as published prompts are deep.
fn tiny(published: ClipConfig) -> ClipConfig {
    let (width, layers, heads, mlp_width) = (32, 9, 2, 128);
    let activation = Activation::QuickGelu;
    let image = VitConfig {
        resolution: 32,
        patch: 16,
        width,
        layers,
        heads,
        mlp_width,
        activation,
        layer_norm_eps: 1e-5,
    };
    let text = TextConfig { width, layers, heads, mlp_width, ..published.text };
    ClipConfig { embed_dim: 32, image: ImageConfig::Vit(image), text, ..published }
}
