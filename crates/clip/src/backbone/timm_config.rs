//! Writing the `config.json` that `timm` puts beside the weights of a vision transformer.

use crate::config::{Activation, VitConfig};
use crate::formats::{SaveError, pretty};
use regulus_images::{Filter, Preprocess};
use serde::Serialize;

/// The model of `timm` whose arguments are replaced: it has no entry for every size, but all of them are one class.
const ARCHITECTURE: &str = "vit_tiny_patch16_224";
/// What `timm`'s vision transformers add to the variance in every LayerNorm.
const LAYER_NORM_EPS: f64 = 1e-6;

#[derive(Serialize)]
struct Saved {
    architecture: &'static str,
    num_classes: usize,
    num_features: usize,
    global_pool: &'static str,
    model_args: Arguments,
    pretrained_cfg: Images,
}

#[derive(Serialize)]
struct Arguments {
    img_size: usize,
    patch_size: usize,
    embed_dim: usize,
    depth: usize,
    num_heads: usize,
    mlp_ratio: f64,
}

/// How images are prepared, and where `timm` finds the first layer and the classifier.
#[derive(Serialize)]
struct Images {
    custom_load: bool,
    input_size: [usize; 3],
    fixed_input_size: bool,
    interpolation: &'static str,
    crop_pct: f64,
    crop_mode: &'static str,
    mean: [f32; 3],
    std: [f32; 3],
    num_classes: usize,
    pool_size: Option<[usize; 2]>,
    first_conv: &'static str,
    classifier: &'static str,
}

/// The `config.json` of a backbone.
pub(crate) fn to_json(config: &VitConfig, preprocess: &Preprocess) -> Result<String, SaveError> {
    let refuse = |field, value: String, reason| Err(SaveError::Unrepresentable { field, value, reason });
    if config.activation != Activation::Gelu {
        let value = format!("{:?}", config.activation);
        return refuse("activation", value, "the vision transformers of timm use GELU");
    }
    if config.layer_norm_eps != LAYER_NORM_EPS {
        let value = config.layer_norm_eps.to_string();
        return refuse("layer_norm_eps", value, "the vision transformers of timm use 1e-6");
    }
    let mlp_ratio = config.mlp_width as f64 / config.width as f64;
    if (config.width as f64 * mlp_ratio) as usize != config.mlp_width {
        let value = config.mlp_width.to_string();
        return refuse("mlp_width", value, "it is not a multiple of the width that floating point keeps");
    }
    let (resize, crop) = (preprocess.resize, preprocess.crop);
    if crop != config.resolution {
        return refuse("crop", crop.to_string(), "the crop has to be as large as the images of the model");
    }
    let crop_pct = crop as f64 / resize as f64;
    if (crop as f64 / crop_pct) as usize != resize {
        return refuse(
            "resize",
            resize.to_string(),
            "it is no multiple of the crop that floating point keeps",
        );
    }
    pretty(&Saved {
        architecture: ARCHITECTURE,
        num_classes: 0,
        num_features: config.width,
        global_pool: "token",
        model_args: Arguments {
            img_size: config.resolution,
            patch_size: config.patch,
            embed_dim: config.width,
            depth: config.layers,
            num_heads: config.heads,
            mlp_ratio,
        },
        pretrained_cfg: Images {
            custom_load: false,
            input_size: [3, config.resolution, config.resolution],
            fixed_input_size: true,
            interpolation: match preprocess.filter {
                Filter::Bicubic => "bicubic",
                Filter::Bilinear => "bilinear",
            },
            crop_pct,
            crop_mode: "center",
            mean: preprocess.mean,
            std: preprocess.std,
            num_classes: 0,
            pool_size: None,
            first_conv: "patch_embed.proj",
            classifier: "head",
        },
    })
}
