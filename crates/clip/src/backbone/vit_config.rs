//! The architecture of a published vision transformer: from the configuration of `transformers`, or
//! from the tensors themselves and the little that `timm` writes beside them.

use super::vit_names::{Naming, VitLayout};
use crate::config::{Activation, VitConfig};
use crate::formats::hf::CONFIG_FILE;
use crate::formats::hf::config::{Side, activation, side};
use crate::formats::{Json, LoadError, ModelFiles};
use regulus_checkpoints::Checkpoint;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Finds the architecture of the weights `checkpoint`, which lie in `files`.
pub(crate) fn find(
    files: &ModelFiles,
    layout: &VitLayout,
    checkpoint: &Checkpoint,
) -> Result<VitConfig, LoadError> {
    if files.beside(CONFIG_FILE).is_none() && layout.naming == Naming::Timm {
        return inferred(layout, checkpoint, None);
    }
    let json = Json::read(files.folder(), CONFIG_FILE, "the configuration of an HF ViTModel")?;
    let Kind { model_type } = json.parse()?;
    match model_type.as_deref() {
        Some("vit") => of_transformers(&json),
        Some(other) => Err(json.unsupported("model_type", other, "vit")),
        None => of_timm(&json, layout, checkpoint),
    }
}

/// What tells the configurations of `transformers` from those of `timm`.
#[derive(Deserialize)]
struct Kind {
    model_type: Option<String>,
}

#[derive(Deserialize)]
struct RawVit {
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    num_channels: Option<usize>,
    image_size: Option<Side>,
    patch_size: Option<Side>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    qkv_bias: Option<bool>,
}

/// Missing fields have the defaults of `transformers` 5 (`configuration_vit.py`).
fn of_transformers(json: &Json) -> Result<VitConfig, LoadError> {
    let raw: RawVit = json.parse()?;
    let channels = raw.num_channels.unwrap_or(3);
    if channels != 3 {
        return Err(json.unsupported("num_channels", channels, "3"));
    }
    if raw.qkv_bias == Some(false) {
        return Err(json.unsupported("qkv_bias", false, "true"));
    }
    let name = raw.hidden_act.unwrap_or_else(|| "gelu".to_string());
    Ok(VitConfig {
        resolution: side(json, "image_size", raw.image_size, 224)?,
        patch: side(json, "patch_size", raw.patch_size, 16)?,
        width: raw.hidden_size.unwrap_or(768),
        layers: raw.num_hidden_layers.unwrap_or(12),
        heads: raw.num_attention_heads.unwrap_or(12),
        mlp_width: raw.intermediate_size.unwrap_or(3072),
        activation: activation(json, "hidden_act", Some(name))?,
        layer_norm_eps: raw.layer_norm_eps.unwrap_or(1e-12),
    })
}

/// `config.json` of `timm`: names an architecture of that library, and states what differs from it.
#[derive(Deserialize)]
struct RawTimm {
    num_heads: Option<usize>,
    global_pool: Option<String>,
    #[serde(default)]
    model_args: Map<String, Value>,
}

/// Arguments of `timm`'s models that either show in the tensors or do not change a forward pass.
const KNOWN_ARGUMENTS: [&str; 12] = [
    "img_size",
    "patch_size",
    "in_chans",
    "num_classes",
    "embed_dim",
    "depth",
    "num_heads",
    "mlp_ratio",
    "global_pool",
    "drop_rate",
    "drop_path_rate",
    "dynamic_img_size",
];

fn of_timm(json: &Json, layout: &VitLayout, checkpoint: &Checkpoint) -> Result<VitConfig, LoadError> {
    let raw: RawTimm = json.parse()?;
    if let Some(other) = raw.model_args.keys().find(|name| !KNOWN_ARGUMENTS.contains(&name.as_str())) {
        return Err(json.unsupported(
            "model_args",
            format!("{other:?}"),
            "no argument that changes the network",
        ));
    }
    let argument = |name: &str| raw.model_args.get(name);
    let pool = argument("global_pool").and_then(Value::as_str).or(raw.global_pool.as_deref());
    if let Some(other) = pool.filter(|pool| *pool != "token") {
        return Err(json.unsupported("global_pool", other, "token"));
    }
    let stated = match argument("num_heads") {
        None => raw.num_heads,
        Some(value) => {
            let heads = value.as_u64().and_then(|heads| usize::try_from(heads).ok());
            Some(heads.ok_or_else(|| json.unsupported("num_heads", value, "a number"))?)
        }
    };
    inferred(layout, checkpoint, stated)
}

/// The architecture that the tensors of a checkpoint with `timm`'s names show.
fn inferred(
    layout: &VitLayout,
    checkpoint: &Checkpoint,
    stated_heads: Option<usize>,
) -> Result<VitConfig, LoadError> {
    let unsupported = |field, found, expected| LoadError::Unsupported {
        path: checkpoint.path().into(),
        field,
        found,
        expected,
    };
    if layout.naming != Naming::Timm {
        return Err(unsupported(
            "names",
            "those of transformers".to_string(),
            "those of timm, as config.json says",
        ));
    }
    let tensor = |name: &str| checkpoint.tensor(&layout.key(name));
    let shape = |name: &str| tensor(name).map(|tensor| tensor.shape().to_vec());
    let shown = |shape: Option<Vec<usize>>| {
        shape.map_or_else(|| "missing".to_string(), |shape| format!("of shape {shape:?}"))
    };
    if tensor("fc_norm.weight").is_some() {
        let expected = "no such tensor: a network whose feature is the class token, not a mean over patches";
        return Err(unsupported("fc_norm.weight", "present".to_string(), expected));
    }
    let (width, patch) = match shape("patch_embed.proj.weight").as_deref() {
        Some(&[width, 3, rows, columns]) if rows == columns => (width, rows),
        other => {
            let found = shown(other.map(<[usize]>::to_vec));
            return Err(unsupported("patch_embed.proj.weight", found, "of shape [width, 3, patch, patch]"));
        }
    };
    let grid = match shape("pos_embed").as_deref() {
        Some(&[1, positions, _]) => square_root(positions.saturating_sub(1)),
        _ => None,
    };
    let grid = grid.ok_or_else(|| {
        let expected = "of shape [1, positions, width], with a class token and a square of patches";
        unsupported("pos_embed", shown(shape("pos_embed")), expected)
    })?;
    let mlp_width = match shape("blocks.0.mlp.fc1.weight").as_deref() {
        Some(&[mlp_width, _]) => mlp_width,
        other => {
            let found = shown(other.map(<[usize]>::to_vec));
            return Err(unsupported("blocks.0.mlp.fc1.weight", found, "of shape [mlp width, width]"));
        }
    };
    let heads = stated_heads.or_else(|| usual_heads(width)).ok_or_else(|| {
        let found = format!("not stated, and unclear for width {width}");
        unsupported("num_heads", found, "a config.json that states it")
    })?;
    Ok(VitConfig {
        resolution: grid.saturating_mul(patch),
        patch,
        width,
        layers: (0..).take_while(|layer| tensor(&format!("blocks.{layer}.norm1.weight")).is_some()).count(),
        heads,
        mlp_width,
        activation: Activation::Gelu,
        layer_norm_eps: 1e-6,
    })
}

/// The number of heads of published transformers of that width: heads are 64 wide (Dosovitskiy et
/// al. 2021, table 1), but those of the huge and giant ones are wider (Zhai et al. 2022, table 2).
fn usual_heads(width: usize) -> Option<usize> {
    match width {
        1280 | 1408 | 1664 => Some(16),
        _ => width.checked_div(64).filter(|heads| heads * 64 == width && *heads > 0),
    }
}

fn square_root(value: usize) -> Option<usize> {
    let root = value.isqrt();
    (root * root == value && root > 0).then_some(root)
}
