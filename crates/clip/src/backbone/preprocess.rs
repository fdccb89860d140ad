//! How the images of a published backbone are prepared, as the files beside its weights say it.
//!
//! `timm` keeps it in the `config.json` of a model folder, `transformers` in `preprocessor_config.json`. Other files say
//! nothing, and their networks get the preparation that is usual for images of ImageNet.

use super::Backbone;
use crate::formats::hf::{CONFIG_FILE, PREPROCESS_FILE};
use crate::formats::{Json, LoadError, ModelFiles};
use regulus_images::{Filter, Preprocess};
use serde::Deserialize;

/// The share of the resized image that `timm` keeps where its files do not say.
const CROP_SHARE: f64 = 0.875;

/// The preparation of `backbone`'s images, whose weights lie in `files`.
pub(crate) fn find(files: &ModelFiles, backbone: &Backbone) -> Result<Preprocess, LoadError> {
    let usual = backbone.preprocess();
    let Some(config) = files.beside(CONFIG_FILE) else { return Ok(usual) };
    let json = Json::open(config)?;
    let Kind { model_type, architecture, pretrained_cfg } = json.parse()?;
    if let Some(nested) = pretrained_cfg {
        of_timm(&json, nested, backbone, usual)
    } else if architecture.is_some() {
        of_timm(&json, json.parse()?, backbone, usual)
    } else if let (Some(_), Some(path)) = (model_type, files.beside(PREPROCESS_FILE)) {
        of_transformers(&Json::open(path)?, &usual)
    } else {
        Ok(usual)
    }
}

/// The preparation that the file `json` describes, if it can be carried out.
fn checked(json: &Json, preprocess: Preprocess) -> Result<Preprocess, LoadError> {
    match preprocess.check() {
        Ok(()) => Ok(preprocess),
        Err(source) => Err(LoadError::Preprocess { path: json.path.clone(), source }),
    }
}

/// What tells the configurations of `transformers` from those of `timm`.
#[derive(Deserialize)]
struct Kind {
    model_type: Option<String>,
    architecture: Option<String>,
    pretrained_cfg: Option<RawTransform>,
}

/// The fields of `pretrained_cfg` that concern images; in old folders they stand at the top of `config.json`.
#[derive(Deserialize)]
struct RawTransform {
    input_size: Option<[usize; 3]>,
    interpolation: Option<String>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
}

impl RawTransform {
    fn is_stated(&self) -> bool {
        self.input_size.is_some() || self.crop_pct.is_some() || self.mean.is_some() || self.std.is_some()
    }
}

/// Resize of the short side to `floor(size / crop_pct)`, then the middle (`transforms_imagenet_eval`). What is missing
/// has `timm`'s default, but the size of a vision transformer is that of its weights.
fn of_timm(
    json: &Json,
    raw: RawTransform,
    backbone: &Backbone,
    usual: Preprocess,
) -> Result<Preprocess, LoadError> {
    if !raw.is_stated() {
        return Ok(usual);
    }
    let crop = match raw.input_size {
        None => usual.crop,
        Some([3, rows, columns]) if rows == columns => rows,
        Some(other) => {
            return Err(json.unsupported("input_size", format!("{other:?}"), "[3, side, side]"));
        }
    };
    if let Backbone::Vit(_) = backbone
        && crop != usual.crop
    {
        let found = format!("{crop} pixels a side, while the weights are for {}", usual.crop);
        return Err(json.unsupported("input_size", found, "the resolution of the positional embedding"));
    }
    let filter = match raw.interpolation.as_deref() {
        None | Some("bicubic") => Filter::Bicubic,
        Some("bilinear") => Filter::Bilinear,
        Some(other) => return Err(json.unsupported("interpolation", other, "bicubic or bilinear")),
    };
    if let Some(mode) = raw.crop_mode.as_deref().filter(|mode| *mode != "center") {
        return Err(json.unsupported("crop_mode", mode, "center"));
    }
    let share = raw.crop_pct.unwrap_or(CROP_SHARE);
    if !(share > 0.0 && share <= 1.0) {
        return Err(json.unsupported("crop_pct", share, "more than 0 and at most 1"));
    }
    let resize = (crop as f64 / share) as usize;
    let (mean, std) = (raw.mean.unwrap_or(usual.mean), raw.std.unwrap_or(usual.std));
    checked(json, Preprocess { resize, crop, filter, mean, std })
}

/// `preprocessor_config.json` of `ViTImageProcessor`.
#[derive(Deserialize)]
struct RawProcessor {
    do_normalize: Option<bool>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    resample: Option<u32>,
}

/// Colours and filter of `transformers`, whose defaults are 0.5 and bilinear. There an image is squeezed to a square;
/// here it keeps its proportions, and its middle is cut out.
fn of_transformers(json: &Json, usual: &Preprocess) -> Result<Preprocess, LoadError> {
    let raw: RawProcessor = json.parse()?;
    if raw.do_normalize == Some(false) {
        return Err(json.unsupported("do_normalize", false, "true"));
    }
    let filter = match raw.resample {
        None | Some(2) => Filter::Bilinear,
        Some(3) => Filter::Bicubic,
        Some(other) => return Err(json.unsupported("resample", other, "2 (bilinear) or 3 (bicubic)")),
    };
    let (mean, std) = (raw.image_mean.unwrap_or([0.5; 3]), raw.image_std.unwrap_or([0.5; 3]));
    checked(json, Preprocess { resize: usual.crop, crop: usual.crop, filter, mean, std })
}
