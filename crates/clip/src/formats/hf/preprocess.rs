//! `preprocessor_config.json` of HF `CLIPImageProcessor`.

use crate::formats::{Json, LoadError, SaveError, pretty};
use regulus_images::{Filter, Preprocess};
use serde::{Deserialize, Serialize};

/// Numbers of PIL's filters, as HF stores them.
const BILINEAR: u32 = 2;
const BICUBIC: u32 = 3;

#[derive(Deserialize)]
struct RawPreprocess {
    do_resize: Option<bool>,
    size: Option<Size>,
    resample: Option<u32>,
    do_center_crop: Option<bool>,
    crop_size: Option<Size>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
}

/// The ways in which sizes were stored over the years.
#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Side(usize),
    ShortestEdge { shortest_edge: usize },
    Rectangle { height: usize, width: usize },
}

/// Reads `preprocessor_config.json`. What is missing has HF's default, OpenAI's preprocessing for
/// 224 pixels.
pub(crate) fn parse(json: &Json) -> Result<Preprocess, LoadError> {
    let raw: RawPreprocess = json.parse()?;
    let steps = [
        ("do_resize", raw.do_resize),
        ("do_center_crop", raw.do_center_crop),
        ("do_rescale", raw.do_rescale),
        ("do_normalize", raw.do_normalize),
    ];
    for (field, step) in steps {
        if step == Some(false) {
            return Err(json.unsupported(field, false, "true"));
        }
    }
    if let Some(factor) = raw.rescale_factor.filter(|factor| (factor * 255.0 - 1.0).abs() > 1e-6) {
        return Err(json.unsupported("rescale_factor", factor, "1/255"));
    }
    let filter = match raw.resample.unwrap_or(BICUBIC) {
        BICUBIC => Filter::Bicubic,
        BILINEAR => Filter::Bilinear,
        other => return Err(json.unsupported("resample", other, "2 (bilinear) or 3 (bicubic)")),
    };
    let clip = Preprocess::clip(224);
    let resize = match raw.size {
        None => clip.resize,
        Some(Size::Side(side) | Size::ShortestEdge { shortest_edge: side }) => side,
        Some(Size::Rectangle { height, width }) => {
            let found = format!("{height} x {width}");
            return Err(json.unsupported("size", found, "the length of the shortest edge"));
        }
    };
    let crop = match raw.crop_size {
        None => clip.crop,
        Some(Size::Side(side) | Size::ShortestEdge { shortest_edge: side }) => side,
        Some(Size::Rectangle { height, width }) if height == width => height,
        Some(Size::Rectangle { height, width }) => {
            return Err(json.unsupported("crop_size", format!("{height} x {width}"), "a square"));
        }
    };
    let mean = raw.image_mean.unwrap_or(clip.mean);
    let std = raw.image_std.unwrap_or(clip.std);
    let preprocess = Preprocess { resize, crop, filter, mean, std };
    preprocess.check().map_err(|source| LoadError::Preprocess { path: json.path.clone(), source })?;
    Ok(preprocess)
}

#[derive(Serialize)]
struct SavedPreprocess {
    crop_size: SavedSquare,
    do_center_crop: bool,
    do_convert_rgb: bool,
    do_normalize: bool,
    do_rescale: bool,
    do_resize: bool,
    image_mean: [f32; 3],
    image_processor_type: &'static str,
    image_std: [f32; 3],
    processor_class: &'static str,
    resample: u32,
    rescale_factor: f64,
    size: SavedShortestEdge,
}

#[derive(Serialize)]
struct SavedSquare {
    height: usize,
    width: usize,
}

#[derive(Serialize)]
struct SavedShortestEdge {
    shortest_edge: usize,
}

/// The `preprocessor_config.json` of a model.
pub(crate) fn to_json(preprocess: &Preprocess) -> Result<String, SaveError> {
    pretty(&SavedPreprocess {
        crop_size: SavedSquare { height: preprocess.crop, width: preprocess.crop },
        do_center_crop: true,
        do_convert_rgb: true,
        do_normalize: true,
        do_rescale: true,
        do_resize: true,
        image_mean: preprocess.mean,
        image_processor_type: "CLIPImageProcessor",
        image_std: preprocess.std,
        processor_class: "CLIPProcessor",
        resample: match preprocess.filter {
            Filter::Bicubic => BICUBIC,
            Filter::Bilinear => BILINEAR,
        },
        rescale_factor: 1.0 / 255.0,
        size: SavedShortestEdge { shortest_edge: preprocess.resize },
    })
}
