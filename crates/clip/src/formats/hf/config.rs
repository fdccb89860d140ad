//! `config.json` of HF `CLIPModel`: names, defaults and old spellings.
//!
//! Hub configurations leave out whatever equals the library's default, so the defaults are part
//! of the format. Those here are the ones of `transformers` 5 (`configuration_clip.py`).

use crate::config::{Activation, ClipConfig, ImageConfig, Pooling, TextConfig, VitConfig};
use crate::formats::{Json, LoadError, SaveError, pretty};
use serde::{Deserialize, Serialize};

/// The end-of-text id of configurations that were written before the right one was; HF then reads
/// the feature at the highest id instead.
const LEGACY_EOT_ID: u32 = 2;

#[derive(Deserialize)]
struct RawConfig {
    text_config: Option<RawText>,
    vision_config: Option<RawVision>,
    text_config_dict: Option<RawText>,
    vision_config_dict: Option<RawVision>,
    projection_dim: Option<usize>,
    logit_scale_init_value: Option<f64>,
}

#[derive(Deserialize, Default)]
struct RawText {
    vocab_size: Option<usize>,
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    max_position_embeddings: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    pad_token_id: Option<u32>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<u32>,
}

#[derive(Deserialize, Default)]
struct RawVision {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    num_channels: Option<usize>,
    image_size: Option<Side>,
    patch_size: Option<Side>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
}

/// One number, or height and width.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Side {
    Square(usize),
    Pair([usize; 2]),
}

/// Reads `config.json`.
pub(crate) fn parse(json: &Json) -> Result<ClipConfig, LoadError> {
    let raw: RawConfig = json.parse()?;
    // `transformers` lets every value of a `*_config_dict`, defaults included, win.
    let text = raw.text_config_dict.or(raw.text_config).unwrap_or_default();
    let vision = raw.vision_config_dict.or(raw.vision_config).unwrap_or_default();
    let channels = vision.num_channels.unwrap_or(3);
    if channels != 3 {
        return Err(json.unsupported("vision_config.num_channels", channels, "3"));
    }
    let eot_id = text.eos_token_id.unwrap_or(49407);
    let pooling = if eot_id == LEGACY_EOT_ID { Pooling::HighestId } else { Pooling::FirstEot };
    let config = ClipConfig {
        embed_dim: raw.projection_dim.unwrap_or(512),
        image: ImageConfig::Vit(VitConfig {
            resolution: side(json, "vision_config.image_size", vision.image_size, 224)?,
            patch: side(json, "vision_config.patch_size", vision.patch_size, 32)?,
            width: vision.hidden_size.unwrap_or(768),
            layers: vision.num_hidden_layers.unwrap_or(12),
            heads: vision.num_attention_heads.unwrap_or(12),
            mlp_width: vision.intermediate_size.unwrap_or(3072),
            activation: activation(json, "vision_config.hidden_act", vision.hidden_act)?,
            layer_norm_eps: vision.layer_norm_eps.unwrap_or(1e-5),
        }),
        text: TextConfig {
            vocab: text.vocab_size.unwrap_or(49408),
            context: text.max_position_embeddings.unwrap_or(77),
            width: text.hidden_size.unwrap_or(512),
            layers: text.num_hidden_layers.unwrap_or(12),
            heads: text.num_attention_heads.unwrap_or(8),
            mlp_width: text.intermediate_size.unwrap_or(2048),
            activation: activation(json, "text_config.hidden_act", text.hidden_act)?,
            layer_norm_eps: text.layer_norm_eps.unwrap_or(1e-5),
            sot_id: text.bos_token_id.unwrap_or(49406),
            eot_id,
            pad_id: text.pad_token_id.unwrap_or(1),
            pooling,
        },
        logit_scale_init: raw.logit_scale_init_value.unwrap_or(2.6592),
    };
    config.check().map_err(|source| LoadError::Config { path: json.path.clone(), source })?;
    Ok(config)
}

pub(crate) fn side(
    json: &Json,
    field: &'static str,
    side: Option<Side>,
    default: usize,
) -> Result<usize, LoadError> {
    match side {
        None => Ok(default),
        Some(Side::Square(side)) => Ok(side),
        Some(Side::Pair([height, width])) if height == width => Ok(height),
        Some(Side::Pair(pair)) => Err(json.unsupported(field, format!("{pair:?}"), "a square")),
    }
}

pub(crate) fn activation(
    json: &Json,
    field: &'static str,
    name: Option<String>,
) -> Result<Activation, LoadError> {
    match name.as_deref() {
        None | Some("quick_gelu") => Ok(Activation::QuickGelu),
        Some("gelu" | "gelu_python") => Ok(Activation::Gelu),
        Some("gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_accurate") => {
            Ok(Activation::GeluTanh)
        }
        Some(other) => Err(json.unsupported(field, other, "quick_gelu, gelu or gelu_pytorch_tanh")),
    }
}

#[derive(Serialize)]
struct SavedConfig<'a> {
    architectures: [&'a str; 1],
    dtype: &'a str,
    logit_scale_init_value: f64,
    model_type: &'a str,
    projection_dim: usize,
    text_config: SavedText<'a>,
    vision_config: SavedVision<'a>,
}

#[derive(Serialize)]
struct SavedText<'a> {
    bos_token_id: u32,
    eos_token_id: u32,
    hidden_act: &'a str,
    hidden_size: usize,
    intermediate_size: usize,
    layer_norm_eps: f64,
    max_position_embeddings: usize,
    model_type: &'a str,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    pad_token_id: u32,
    projection_dim: usize,
    vocab_size: usize,
}

#[derive(Serialize)]
struct SavedVision<'a> {
    hidden_act: &'a str,
    hidden_size: usize,
    image_size: usize,
    intermediate_size: usize,
    layer_norm_eps: f64,
    model_type: &'a str,
    num_attention_heads: usize,
    num_channels: usize,
    num_hidden_layers: usize,
    patch_size: usize,
    projection_dim: usize,
}

/// The `config.json` of a model.
pub(crate) fn to_json(config: &ClipConfig) -> Result<String, SaveError> {
    let ImageConfig::Vit(image) = &config.image else {
        return Err(SaveError::Unrepresentable {
            field: "image.kind",
            value: "resnet".to_string(),
            reason: "the image tower of `CLIPModel` is a vision transformer",
        });
    };
    let text = &config.text;
    let eos_token_id = match text.pooling {
        Pooling::HighestId => LEGACY_EOT_ID,
        Pooling::FirstEot if text.eot_id == LEGACY_EOT_ID => {
            return Err(SaveError::Unrepresentable {
                field: "text.eot_id",
                value: text.eot_id.to_string(),
                reason: "`transformers` takes `eos_token_id: 2` to mean the highest id",
            });
        }
        Pooling::FirstEot => text.eot_id,
    };
    let saved = SavedConfig {
        architectures: ["CLIPModel"],
        dtype: "float32",
        logit_scale_init_value: config.logit_scale_init,
        model_type: "clip",
        projection_dim: config.embed_dim,
        text_config: SavedText {
            bos_token_id: text.sot_id,
            eos_token_id,
            hidden_act: activation_name(text.activation),
            hidden_size: text.width,
            intermediate_size: text.mlp_width,
            layer_norm_eps: text.layer_norm_eps,
            max_position_embeddings: text.context,
            model_type: "clip_text_model",
            num_attention_heads: text.heads,
            num_hidden_layers: text.layers,
            pad_token_id: text.pad_id,
            projection_dim: config.embed_dim,
            vocab_size: text.vocab,
        },
        vision_config: SavedVision {
            hidden_act: activation_name(image.activation),
            hidden_size: image.width,
            image_size: image.resolution,
            intermediate_size: image.mlp_width,
            layer_norm_eps: image.layer_norm_eps,
            model_type: "clip_vision_model",
            num_attention_heads: image.heads,
            num_channels: 3,
            num_hidden_layers: image.layers,
            patch_size: image.patch,
            projection_dim: config.embed_dim,
        },
    };
    pretty(&saved)
}

fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::QuickGelu => "quick_gelu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
    }
}
