//! Model folders of open_clip: `open_clip_config.json` beside weights under OpenAI's names.
//!
//! The defaults are those of open_clip 3.3 (`open_clip/model.py`, `CLIPVisionCfg` and `CLIPTextCfg`). A field
//! that would change the model in a way that is not supported is an error, never ignored.

use super::hf::config::{Side, side};
use super::openai::{LAYER_NORM_EPS, OpenAiLayout, special};
use super::{Description, Json, LoadError, Publisher};
use crate::config::{Activation, ClipConfig, ImageConfig, Pooling, ResNetConfig, TextConfig, VitConfig};
use regulus_checkpoints::Checkpoint;
use regulus_images::{Filter, Preprocess};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Describes the model and its preprocessing.
pub(crate) const CONFIG_FILE: &str = "open_clip_config.json";

#[derive(Deserialize)]
struct RawFile {
    model_cfg: RawModel,
    preprocess_cfg: Option<RawPreprocess>,
}

#[derive(Deserialize)]
struct RawModel {
    embed_dim: usize,
    vision_cfg: RawVision,
    text_cfg: RawText,
    #[serde(default)]
    quick_gelu: bool,
    init_logit_scale: Option<f64>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct RawVision {
    layers: Option<Layers>,
    width: Option<usize>,
    head_width: Option<usize>,
    mlp_ratio: Option<f64>,
    patch_size: Option<Side>,
    image_size: Option<Side>,
    act_kwargs: Option<RawActivation>,
    norm_kwargs: Option<RawNorm>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct RawText {
    context_length: Option<usize>,
    vocab_size: Option<usize>,
    width: Option<usize>,
    heads: Option<usize>,
    layers: Option<usize>,
    mlp_ratio: Option<f64>,
    pad_id: Option<u32>,
    eos_id: Option<u32>,
    pool_type: Option<String>,
    act_kwargs: Option<RawActivation>,
    norm_kwargs: Option<RawNorm>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct RawActivation {
    approximate: Option<String>,
}

#[derive(Deserialize)]
struct RawNorm {
    eps: Option<f64>,
}

#[derive(Deserialize)]
struct RawPreprocess {
    size: Option<Side>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<String>,
    resize_mode: Option<String>,
}

/// Number of blocks of a transformer, or of each of a ResNet's four layers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Layers {
    Transformer(usize),
    ResNet([usize; 4]),
}

/// Fields that change nothing here: training, code paths, and companions of fields that must be absent.
const WITHOUT_EFFECT: [&str; 18] = [
    "custom_text",
    "patch_dropout",
    "output_tokens",
    "output_dict",
    "hf_tokenizer_name",
    "hf_model_pretrained",
    "hf_pooler_type",
    "hf_proj_type",
    "tokenizer_kwargs",
    "text_mask",
    "timm_model_pretrained",
    "timm_pool",
    "timm_proj",
    "timm_proj_bias",
    "timm_drop",
    "timm_drop_path",
    "attn_pooler_queries",
    "attn_pooler_heads",
];

/// Fields with the only value that is supported.
const FIXED: [(&str, &str); 4] =
    [("pos_embed_type", "learnable"), ("pool_type", "tok"), ("proj_type", "linear"), ("mode", "RGB")];

/// Describes the model in `checkpoint`, whose tensors' names begin with `prefix`, by the file `config`.
pub(crate) fn describe(
    config: PathBuf,
    checkpoint: &Checkpoint,
    prefix: &str,
) -> Result<Description, LoadError> {
    let json = Json::open(config)?;
    let raw: RawFile = json.parse()?;
    let RawModel { embed_dim, vision_cfg, text_cfg, quick_gelu, init_logit_scale, rest } = raw.model_cfg;
    only_supported(&json, "model_cfg", &rest)?;
    only_supported(&json, "model_cfg.vision_cfg", &vision_cfg.rest)?;
    only_supported(&json, "model_cfg.text_cfg", &text_cfg.rest)?;
    let config = ClipConfig {
        embed_dim,
        image: image(&json, vision_cfg, quick_gelu)?,
        text: text(&json, text_cfg, quick_gelu)?,
        logit_scale_init: init_logit_scale.unwrap_or((1.0_f64 / 0.07).ln()),
    };
    config.check().map_err(|source| LoadError::Config { path: json.path.clone(), source })?;
    let preprocess = Some(preprocess(&json, raw.preprocess_cfg, config.image.resolution())?);
    let layout = Box::new(OpenAiLayout::of(checkpoint, prefix));
    let publisher = Publisher::OpenClip;
    Ok(Description { publisher, config, layout, preprocess, adapts_resolution: true, notices: Vec::new() })
}

fn image(json: &Json, raw: RawVision, quick_gelu: bool) -> Result<ImageConfig, LoadError> {
    let resolution = side(json, "vision_cfg.image_size", raw.image_size, 224)?;
    let head_width = raw.head_width.unwrap_or(64);
    let heads = |width: usize| width.checked_div(head_width).unwrap_or(0);
    match raw.layers.unwrap_or(Layers::Transformer(12)) {
        Layers::Transformer(layers) => {
            let width = raw.width.unwrap_or(768);
            Ok(ImageConfig::Vit(VitConfig {
                resolution,
                patch: side(json, "vision_cfg.patch_size", raw.patch_size, 16)?,
                width,
                layers,
                heads: heads(width),
                mlp_width: mlp_width(width, raw.mlp_ratio),
                activation: activation(json, raw.act_kwargs, quick_gelu)?,
                layer_norm_eps: raw.norm_kwargs.and_then(|norm| norm.eps).unwrap_or(LAYER_NORM_EPS),
            }))
        }
        Layers::ResNet(blocks) => {
            let config = ResNetConfig { resolution, width: raw.width.unwrap_or(64), blocks, heads: 1 };
            Ok(ImageConfig::ResNet(ResNetConfig { heads: heads(config.pooled_width()), ..config }))
        }
    }
}

fn text(json: &Json, raw: RawText, quick_gelu: bool) -> Result<TextConfig, LoadError> {
    let vocab = raw.vocab_size.unwrap_or(49408);
    let width = raw.width.unwrap_or(512);
    let (pooling, eot_id) = match raw.pool_type.as_deref() {
        None | Some("argmax") => (Pooling::HighestId, special(vocab, 1)),
        Some("eos") => (Pooling::FirstEot, raw.eos_id.unwrap_or(2)),
        Some(other) => return Err(json.unsupported("text_cfg.pool_type", other, "argmax or eos")),
    };
    Ok(TextConfig {
        vocab,
        context: raw.context_length.unwrap_or(77),
        width,
        layers: raw.layers.unwrap_or(12),
        heads: raw.heads.unwrap_or(8),
        mlp_width: mlp_width(width, raw.mlp_ratio),
        activation: activation(json, raw.act_kwargs, quick_gelu)?,
        layer_norm_eps: raw.norm_kwargs.and_then(|norm| norm.eps).unwrap_or(LAYER_NORM_EPS),
        sot_id: special(vocab, 2),
        eot_id,
        pad_id: raw.pad_id.unwrap_or(0),
        pooling,
    })
}

fn preprocess(json: &Json, raw: Option<RawPreprocess>, resolution: usize) -> Result<Preprocess, LoadError> {
    let clip = Preprocess::clip(resolution);
    let Some(raw) = raw else { return Ok(clip) };
    let size = side(json, "preprocess_cfg.size", raw.size, resolution)?;
    let filter = match raw.interpolation.as_deref() {
        None | Some("bicubic") => Filter::Bicubic,
        Some("bilinear") => Filter::Bilinear,
        Some(other) => {
            return Err(json.unsupported("preprocess_cfg.interpolation", other, "bicubic or bilinear"));
        }
    };
    if let Some(mode) = raw.resize_mode.as_deref().filter(|mode| *mode != "shortest") {
        return Err(json.unsupported("preprocess_cfg.resize_mode", mode, "shortest"));
    }
    let (mean, std) = (raw.mean.unwrap_or(clip.mean), raw.std.unwrap_or(clip.std));
    let preprocess = Preprocess { resize: size, crop: size, filter, mean, std };
    preprocess.check().map_err(|source| LoadError::Preprocess { path: json.path.clone(), source })?;
    Ok(preprocess)
}

/// Refuses fields of `section` that change the model and are not supported.
fn only_supported(json: &Json, section: &'static str, rest: &Map<String, Value>) -> Result<(), LoadError> {
    let is_off = |value: &Value| value.is_null() || *value == Value::Bool(false);
    let is_fixed =
        |name: &String, value: &Value| FIXED.iter().any(|(field, only)| field == name && value == only);
    let is_fine = |name: &String, value: &Value| {
        is_off(value) || is_fixed(name, value) || WITHOUT_EFFECT.contains(&name.as_str())
    };
    match rest.iter().find(|(name, value)| !is_fine(name, value)) {
        None => Ok(()),
        Some((name, value)) => {
            Err(json.unsupported(section, format!("{name} = {value}"), "no such field, null or false"))
        }
    }
}

fn mlp_width(width: usize, ratio: Option<f64>) -> usize {
    (width as f64 * ratio.unwrap_or(4.0)) as usize
}

fn activation(json: &Json, raw: Option<RawActivation>, quick_gelu: bool) -> Result<Activation, LoadError> {
    let approximate = raw.and_then(|raw| raw.approximate);
    match approximate.as_deref() {
        _ if quick_gelu => Ok(Activation::QuickGelu),
        None | Some("none") => Ok(Activation::Gelu),
        Some("tanh") => Ok(Activation::GeluTanh),
        Some(other) => Err(json.unsupported("act_kwargs.approximate", other, "none or tanh")),
    }
}
