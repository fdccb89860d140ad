//! CLIP's preprocessing, and crops with given boxes, against Pillow.

use crate::checks::Checks;
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use regulus_images::{
    DecodeOptions, Filter, NativeImage, PassOrder, Preprocess, RgbImage, SixteenBitGray, crop, decode_native,
    flip_horizontal, resize,
};
use serde::Deserialize;
use std::path::Path;

/// Levels by which JPEG decoders differ: on average, and at most.
const JPEG_MEAN: f64 = 1.0;
const JPEG_MAX: f64 = 20.0;
/// Rounding of normalised values.
const NORMALISED: f64 = 1e-5;

/// What was done to which file.
#[derive(Deserialize)]
struct Index {
    mean: [f32; 3],
    std: [f32; 3],
    images: Vec<Listed>,
    #[serde(default)]
    crops: Vec<Crop>,
}

#[derive(Deserialize)]
struct Listed {
    file: String,
    /// The same image as Pillow decoded it, without loss.
    decoded: Option<String>,
}

#[derive(Deserialize)]
struct Crop {
    file: String,
    key: String,
    i: usize,
    j: usize,
    h: usize,
    w: usize,
    size: usize,
    flip: bool,
    interpolation: String,
}

pub(crate) fn run(folder: &Path, io: &Recorded, rows: &mut Vec<Row>) -> Result<(), CaseError> {
    let path = folder.join("index.json");
    let text =
        std::fs::read_to_string(&path).map_err(|source| CaseError::Read { path: path.clone(), source })?;
    let index: Index =
        serde_json::from_str(&text).map_err(|source| CaseError::Json { path: path.clone(), source })?;
    let images = folder.join("images");
    let mut checks = Checks::new(io, "", rows);
    for Listed { file, decoded } in &index.images {
        let begin = format!("{file}/eval");
        let names: Vec<String> =
            io.names().filter(|name| name.starts_with(&begin)).map(str::to_owned).collect();
        for name in names {
            let recipe = name.strip_prefix(&begin).unwrap_or_default();
            evaluated(&mut checks, &name, recipe, &images.join(file), &index)?;
            // Pillow's own decoding takes the decoder out of the comparison.
            if let (Some(lossless), Some((_, "u8"))) = (decoded, recipe.split_once('_')) {
                evaluated(&mut checks, &name, recipe, &images.join(lossless), &index)?;
            }
        }
    }
    for part in &index.crops {
        if !has_side(&mut checks, &part.key, part.size)? {
            continue;
        }
        let image = native(&images.join(&part.file), SixteenBitGray::default())?.into_rgb();
        let filter = match part.interpolation.as_str() {
            "bicubic" => Filter::Bicubic,
            "bilinear" => Filter::Bilinear,
            other => {
                return Err(CaseError::Unsupported(format!(
                    "{}: the filter {other:?} is not known here",
                    part.key
                )));
            }
        };
        let cut = crop(&image, part.j, part.i, part.w, part.h)
            .map_err(|error| CaseError::Unsupported(format!("{}: {error}", part.key)))?;
        let resized = resize(&cut, part.size, part.size, filter);
        let found = if part.flip { flip_horizontal(&resized) } else { resized };
        levels(&mut checks, &part.key, &found, is_jpeg(&part.file))?;
    }
    checks.finish();
    Ok(())
}

/// Compares with `eval<side>_<way>`: resized to `side` on the short edge and cut to a square in the middle.
fn evaluated(
    checks: &mut Checks<'_>,
    name: &str,
    recipe: &str,
    path: &Path,
    index: &Index,
) -> Result<(), CaseError> {
    let (side, way) = recipe.split_once('_').unwrap_or((recipe, ""));
    let Ok(side) = side.parse::<usize>() else {
        checks.problem(name, "the name does not tell the size");
        return Ok(());
    };
    if !has_side(checks, name, side)? {
        return Ok(());
    }
    let preprocess = Preprocess { mean: index.mean, std: index.std, ..Preprocess::clip(side) };
    let gray = if way == "scaled_u8" { SixteenBitGray::Scaled } else { SixteenBitGray::default() };
    let image = native(path, gray)?;
    let square = match way {
        "rgb_first_u8" => preprocess.square(&image.into_rgb()),
        "classic_u8" => preprocess.square_native(&image, PassOrder::Classic),
        "u8" | "f32" | "scaled_u8" => preprocess.square_native(&image, PassOrder::Pillow13),
        _ => {
            checks.problem(name, format!("nothing here knows the way {way:?}"));
            return Ok(());
        }
    };
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    if way != "f32" {
        return levels(checks, name, &square, is_jpeg(&file));
    }
    let mut planes = vec![0.0; square.pixels.len()];
    preprocess.normalise(&square.pixels, &mut planes);
    let found: Vec<f64> = planes.into_iter().map(f64::from).collect();
    let smallest_std = index.std.iter().copied().fold(f32::INFINITY, f32::min);
    let tolerance = if is_jpeg(&file) { JPEG_MAX / 255.0 / f64::from(smallest_std) } else { NORMALISED };
    let expected = checks.recorded.flat(name)?;
    checks.values(name, &found, &expected, tolerance);
    Ok(())
}

/// Whether `[3, side, side]` is recorded: asked before anything of that size is computed.
fn has_side(checks: &mut Checks<'_>, name: &str, side: usize) -> Result<bool, CaseError> {
    let shape = checks.recorded.shape(name)?;
    let agrees = side > 0 && shape == [3, side, side];
    if !agrees {
        checks.recorded.see(name);
        checks.problem(name, format!("the side is {side}, recorded is {shape:?}"));
    }
    Ok(agrees)
}

/// Compares levels from 0 to 255, recorded as `[3, height, width]`.
fn levels(checks: &mut Checks<'_>, name: &str, found: &RgbImage, is_jpeg: bool) -> Result<(), CaseError> {
    let pixels = &found.pixels;
    let planes: Vec<f64> = (0..3)
        .flat_map(|plane| pixels.iter().skip(plane).step_by(3).map(|level| f64::from(*level)))
        .collect();
    let expected = checks.recorded.flat(name)?;
    if is_jpeg && planes.len() == expected.len() {
        let sum: f64 = planes.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum();
        let mean = sum / expected.len().max(1) as f64;
        checks.values(&format!("{name} (mean)"), &[mean], &[0.0], JPEG_MEAN);
    }
    checks.values(name, &planes, &expected, if is_jpeg { JPEG_MAX } else { 0.0 });
    Ok(())
}

fn native(path: &Path, sixteen_bit_gray: SixteenBitGray) -> Result<NativeImage, CaseError> {
    let bytes = std::fs::read(path).map_err(|source| CaseError::Read { path: path.into(), source })?;
    let decoded = decode_native(&bytes, DecodeOptions { sixteen_bit_gray });
    decoded
        .map(|decoded| decoded.image)
        .map_err(|error| CaseError::Unsupported(format!("{}: {error}", path.display())))
}

fn is_jpeg(file: &str) -> bool {
    let name = file.to_lowercase();
    name.ends_with(".jpg") || name.ends_with(".jpeg")
}
