//! The architectures that OpenAI published, by their names.

use super::{Activation, ClipConfig, ImageConfig, Pooling, ResNetConfig, TextConfig, VitConfig};

/// Width of the embedding space, image tower, width of the text tower.
type Published = (usize, Image, usize);

enum Image {
    Vit { resolution: usize, patch: usize, width: usize, layers: usize },
    ResNet { resolution: usize, width: usize, blocks: [usize; 4] },
}

/// Width of a head in all of OpenAI's towers.
const HEAD_WIDTH: usize = 64;

const fn vit(resolution: usize, patch: usize, width: usize, layers: usize) -> Image {
    Image::Vit { resolution, patch, width, layers }
}

const fn resnet(resolution: usize, width: usize, blocks: [usize; 4]) -> Image {
    Image::ResNet { resolution, width, blocks }
}

/// Sizes of the released weights (<https://github.com/openai/CLIP>, `clip/clip.py`).
const PUBLISHED: [(&str, Published); 9] = [
    ("RN50", (1024, resnet(224, 64, [3, 4, 6, 3]), 512)),
    ("RN101", (512, resnet(224, 64, [3, 4, 23, 3]), 512)),
    ("RN50x4", (640, resnet(288, 80, [4, 6, 10, 6]), 640)),
    ("RN50x16", (768, resnet(384, 96, [6, 8, 18, 8]), 768)),
    ("RN50x64", (1024, resnet(448, 128, [3, 15, 36, 10]), 1024)),
    ("ViT-B/32", (512, vit(224, 32, 768, 12), 512)),
    ("ViT-B/16", (512, vit(224, 16, 768, 12), 512)),
    ("ViT-L/14", (768, vit(224, 14, 1024, 24), 768)),
    ("ViT-L/14@336px", (768, vit(336, 14, 1024, 24), 768)),
];

impl ClipConfig {
    /// The names that [`Self::openai`] knows: those of OpenAI's `clip.available_models()`.
    pub fn openai_names() -> impl Iterator<Item = &'static str> {
        PUBLISHED.iter().map(|(name, _)| *name)
    }

    /// The architecture of a model that OpenAI published, by its name, such as `ViT-B/32` or `RN50`;
    /// `None` for other names.
    pub fn openai(name: &str) -> Option<Self> {
        let (_, (embed_dim, image, text_width)) = PUBLISHED.iter().find(|(known, _)| *known == name)?;
        let (activation, layer_norm_eps) = (Activation::QuickGelu, 1e-5);
        let image = match *image {
            Image::Vit { resolution, patch, width, layers } => ImageConfig::Vit(VitConfig {
                resolution,
                patch,
                width,
                layers,
                heads: width / HEAD_WIDTH,
                mlp_width: 4 * width,
                activation,
                layer_norm_eps,
            }),
            Image::ResNet { resolution, width, blocks } => {
                let config = ResNetConfig { resolution, width, blocks, heads: 1 };
                let heads = config.pooled_width() / HEAD_WIDTH;
                ImageConfig::ResNet(ResNetConfig { heads, ..config })
            }
        };
        Some(Self {
            embed_dim: *embed_dim,
            image,
            text: TextConfig {
                vocab: 49408,
                context: 77,
                width: *text_width,
                layers: 12,
                heads: text_width / HEAD_WIDTH,
                mlp_width: 4 * text_width,
                activation,
                layer_norm_eps,
                sot_id: 49406,
                eot_id: 49407,
                pad_id: 0,
                pooling: Pooling::HighestId,
            },
            logit_scale_init: (1.0_f64 / 0.07).ln(),
        })
    }
}
