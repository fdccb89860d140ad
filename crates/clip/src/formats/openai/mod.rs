//! OpenAI's CLIP: no configuration, so that the architecture is read off the shapes of the tensors.
//!
//! What shapes cannot tell (heads, activation, special tokens) follows OpenAI's rules (`clip/model.py`,
//! `build_model`), unless a `config.json` beside the weights states it under the names of OpenAI's constructor.

mod names;
mod shapes;

pub(crate) use names::OpenAiLayout;
pub(crate) use shapes::Shapes;

use super::{Description, Json, LoadError, ModelFiles, Notice, Publisher};
use crate::config::{Activation, ClipConfig, ImageConfig, Pooling, ResNetConfig, TextConfig, VitConfig};
use regulus_checkpoints::{Checkpoint, Container};
use regulus_images::Preprocess;
use serde::Deserialize;

/// States what the weights do not.
const CONFIG_FILE: &str = "config.json";

/// `1e-5`: PyTorch's default.
pub(crate) const LAYER_NORM_EPS: f64 = 1e-5;

/// The arguments of OpenAI's constructor, and what it has fixed.
#[derive(Deserialize, Default)]
struct RawConfig {
    image_resolution: Option<usize>,
    vision_heads: Option<usize>,
    transformer_heads: Option<usize>,
    activation: Option<Activation>,
    bos: Option<u32>,
    eot: Option<u32>,
    pad: Option<u32>,
}

/// Describes the model in `checkpoint`, whose tensors' names begin with `prefix`.
pub(crate) fn describe(
    files: &ModelFiles,
    checkpoint: &Checkpoint,
    prefix: &str,
) -> Result<Description, LoadError> {
    let raw: RawConfig = match files.beside(CONFIG_FILE) {
        Some(path) => Json::open(path)?.parse()?,
        None => RawConfig::default(),
    };
    let shapes = Shapes { checkpoint, prefix };
    let mut notices = Vec::new();
    let is_official = checkpoint.container() == Container::TorchScript;
    if raw.activation.is_none() && !is_official && shapes.of("input_resolution").is_none() {
        notices.push(Notice::ActivationAssumed);
    }
    let activation = raw.activation.unwrap_or(Activation::QuickGelu);
    let layout = OpenAiLayout::of(checkpoint, prefix);
    let mut config = ClipConfig {
        embed_dim: shapes.axis(&layout.text("text_projection"), 1)?,
        image: image(&shapes, &raw, activation)?,
        text: text(&shapes, &layout, &raw, activation)?,
        logit_scale_init: (1.0_f64 / 0.07).ln(),
    };
    if let Some(resolution) = raw.image_resolution {
        config.image.set_resolution(resolution);
    }
    config.check().map_err(|source| LoadError::Config { path: checkpoint.path().into(), source })?;
    let preprocess = Some(Preprocess::clip(config.image.resolution()));
    let publisher = Publisher::OpenAi;
    Ok(Description {
        publisher,
        config,
        layout: Box::new(layout),
        preprocess,
        adapts_resolution: true,
        notices,
    })
}

fn image(shapes: &Shapes<'_>, raw: &RawConfig, activation: Activation) -> Result<ImageConfig, LoadError> {
    if shapes.of("visual.layer1.0.conv1.weight").is_some() {
        return resnet(shapes, raw).map(ImageConfig::ResNet);
    }
    let (width, patch) = (shapes.axis("visual.conv1.weight", 0)?, shapes.axis("visual.conv1.weight", 3)?);
    Ok(ImageConfig::Vit(VitConfig {
        resolution: shapes.grid("visual.positional_embedding")?.saturating_mul(patch),
        patch,
        width,
        layers: shapes.count("visual.transformer.resblocks", "attn.in_proj_weight"),
        heads: shapes.heads("vision_heads", raw.vision_heads, width)?,
        mlp_width: shapes.axis("visual.transformer.resblocks.0.mlp.c_fc.weight", 0)?,
        activation,
        layer_norm_eps: LAYER_NORM_EPS,
    }))
}

fn resnet(shapes: &Shapes<'_>, raw: &RawConfig) -> Result<ResNetConfig, LoadError> {
    let width = shapes.axis("visual.layer1.0.conv1.weight", 0)?;
    let grid = shapes.grid("visual.attnpool.positional_embedding")?;
    let config = ResNetConfig {
        resolution: grid.saturating_mul(ResNetConfig::REDUCTION),
        width,
        blocks: [1, 2, 3, 4].map(|layer| shapes.count(&format!("visual.layer{layer}"), "conv1.weight")),
        heads: 1,
    };
    let heads = shapes.heads("vision_heads", raw.vision_heads, config.pooled_width())?;
    Ok(ResNetConfig { heads, ..config })
}

fn text(
    shapes: &Shapes<'_>,
    layout: &OpenAiLayout,
    raw: &RawConfig,
    activation: Activation,
) -> Result<TextConfig, LoadError> {
    let vocab = shapes.axis(&layout.text("token_embedding.weight"), 0)?;
    let width = shapes.axis(&layout.text("ln_final.weight"), 0)?;
    Ok(TextConfig {
        vocab,
        context: shapes.axis(&layout.text("positional_embedding"), 0)?,
        width,
        layers: shapes.count(&layout.text("transformer.resblocks"), "attn.in_proj_weight"),
        heads: shapes.heads("transformer_heads", raw.transformer_heads, width)?,
        mlp_width: shapes.axis(&layout.text("transformer.resblocks.0.mlp.c_fc.weight"), 0)?,
        activation,
        layer_norm_eps: LAYER_NORM_EPS,
        sot_id: raw.bos.unwrap_or(special(vocab, 2)),
        eot_id: raw.eot.unwrap_or(special(vocab, 1)),
        pad_id: raw.pad.unwrap_or(0),
        pooling: Pooling::HighestId,
    })
}

/// The id `from_end` places before the end of a vocabulary: start and end of a text are OpenAI's last two.
pub(crate) fn special(vocab: usize, from_end: usize) -> u32 {
    u32::try_from(vocab.saturating_sub(from_end)).unwrap_or(u32::MAX)
}
