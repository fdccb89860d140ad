//! Agreement with Pillow on files that `fixtures/make.py` renders. Its results are stored beside them.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use regulus_images::{
    DecodeOptions, Filter, NativeImage, Oddity, PassOrder, Preprocess, RgbImage, SixteenBitGray, decode_file,
    decode_native, decode_with, resize, resize_in_order,
};
use serde_json::Value;
use std::path::PathBuf;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The entries of one list of `expected.json`, each with Pillow's image.
fn expected(list: &str) -> Vec<(Value, RgbImage)> {
    recorded("expected", list)
}

fn recorded(name: &str, list: &str) -> Vec<(Value, RgbImage)> {
    let read = |extension| std::fs::read(fixtures().join(name).with_extension(extension)).unwrap();
    let record: Value = serde_json::from_slice(&read("json")).unwrap();
    let pixels = read("bin");
    let entries = record[list].as_array().unwrap();
    assert!(entries.len() > 2, "{list} has only {} entries", entries.len());
    let image = |entry: &Value| {
        let [width, height, offset] =
            ["width", "height", "offset"].map(|key| entry[key].as_u64().unwrap() as usize);
        RgbImage::new(width, height, pixels[offset..offset + width * height * 3].to_vec()).unwrap()
    };
    entries.iter().map(|entry| (entry.clone(), image(entry))).collect()
}

fn file_bytes(entry: &Value) -> Vec<u8> {
    std::fs::read(fixtures().join("files").join(entry["file"].as_str().unwrap())).unwrap()
}

fn native(entry: &Value) -> NativeImage {
    decode_native(&file_bytes(entry), DecodeOptions::default()).unwrap().image
}

fn load(file: &str) -> (RgbImage, Vec<Oddity>) {
    let decoded = decode_file(&fixtures().join("files").join(file)).unwrap();
    (decoded.image, decoded.oddities)
}

/// Mean and largest difference in levels.
fn difference(ours: &RgbImage, pillow: &RgbImage) -> (f64, u8) {
    assert_eq!((ours.width, ours.height), (pillow.width, pillow.height));
    let levels: Vec<u8> = ours.pixels.iter().zip(&pillow.pixels).map(|(a, b)| a.abs_diff(*b)).collect();
    let sum: f64 = levels.iter().map(|&level| f64::from(level)).sum();
    (sum / levels.len() as f64, levels.into_iter().max().unwrap())
}

fn filter(entry: &Value) -> Filter {
    serde_json::from_value(entry["filter"].clone()).unwrap()
}

#[test]
fn decoding_equals_pillow() {
    let mut wrong = Vec::new();
    for (entry, pillow) in expected("decoded") {
        let file = entry["file"].as_str().unwrap();
        let (mean, max) = difference(&load(file).0, &pillow);
        // JPEG leaves the rounding to the decoder, and our TIFF decoder rounds CMYK down.
        let (mean_limit, max_limit) = match file {
            "cmyk.tiff" => (0.6, 1),
            _ if file.ends_with(".jpg") => (0.5, 4),
            _ => (0.0, 0),
        };
        if mean > mean_limit || max > max_limit {
            wrong.push(format!("{file}: mean {mean:.3}, max {max}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn resizing_in_the_mode_of_the_file_equals_pillow() {
    let mut wrong = Vec::new();
    for (entry, pillow) in expected("native") {
        let ours = Preprocess::clip(pillow.width).square_native(&native(&entry), PassOrder::Pillow13);
        let (mean, max) = difference(&ours, &pillow);
        let file = entry["file"].as_str().unwrap();
        // A CMYK TIFF is converted before it is resized.
        let (mean_limit, max_limit) = match file {
            "cmyk.tiff" => (0.8, 4),
            _ if file.ends_with(".jpg") => (0.5, 3),
            _ => (0.0, 0),
        };
        if mean > mean_limit || max > max_limit {
            wrong.push(format!("{entry}: mean {mean:.3}, max {max}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn sixteen_bit_grey_can_be_scaled() {
    let options = DecodeOptions { sixteen_bit_gray: SixteenBitGray::Scaled };
    for (entry, numpy) in expected("scaled") {
        let decoded = decode_with(&file_bytes(&entry), options).unwrap();
        assert_eq!(difference(&decoded.image, &numpy), (0.0, 0), "{entry}");
        assert_eq!(decoded.oddities[0], Oddity::SixteenBit);
    }
}

#[test]
fn oddities_are_named() {
    let cases = [
        ("rgb.png", vec![]),
        ("gray.png", vec![]),
        ("palette.png", vec![]),
        ("rgb.jpg", vec![]),
        ("still.gif", vec![]),
        ("lossless.webp", vec![]),
        ("rgba_opaque.png", vec![]),
        ("rgba.png", vec![Oddity::Transparent]),
        ("palette_transparent.png", vec![Oddity::Transparent]),
        ("transparent.gif", vec![Oddity::Transparent]),
        ("rgb_transparent_colour.png", vec![Oddity::Transparent]),
        ("gray16.png", vec![Oddity::SixteenBitGray]),
        ("gray16.tiff", vec![Oddity::SixteenBitGray]),
        ("gray16_transparent_value.png", vec![Oddity::SixteenBitGray, Oddity::Transparent]),
        ("rgb16.png", vec![Oddity::SixteenBit]),
        ("rgba16.png", vec![Oddity::SixteenBit, Oddity::Transparent]),
        ("gray_alpha16.png", vec![Oddity::SixteenBit, Oddity::Transparent]),
        ("cmyk.jpg", vec![Oddity::Cmyk]),
        ("cmyk.tiff", vec![Oddity::Cmyk]),
        ("exif.jpg", vec![Oddity::ExifRotated]),
        ("exif.png", vec![Oddity::ExifRotated]),
        ("rotated.tiff", vec![]),
        ("animated.gif", vec![Oddity::Animated]),
        ("animated.png", vec![Oddity::Animated]),
        ("animated.webp", vec![Oddity::Animated]),
    ];
    for (file, oddities) in cases {
        assert_eq!(load(file).1, oddities, "{file}");
    }
}

#[test]
fn resizing_equals_pillow() {
    let source = load("resize_source.png").0;
    for (entry, pillow) in expected("resized") {
        let ours = resize(&source, pillow.width, pillow.height, filter(&entry));
        assert_eq!(difference(&ours, &pillow), (0.0, 0), "{entry}");
    }
}

#[test]
fn the_order_of_pillow_12_equals_pillow_12() {
    let source = load("resize_source.png").0;
    let mut changed = 0;
    for (entry, pillow) in recorded("classic", "resized") {
        let resized = |order| resize_in_order(&source, pillow.width, pillow.height, filter(&entry), order);
        assert_eq!(difference(&resized(PassOrder::Classic), &pillow), (0.0, 0), "{entry}");
        changed += usize::from(resized(PassOrder::Pillow13) != pillow);
    }
    for (entry, pillow) in recorded("classic", "native") {
        let square = |order| Preprocess::clip(pillow.width).square_native(&native(&entry), order);
        assert_eq!(difference(&square(PassOrder::Classic), &pillow), (0.0, 0), "{entry}");
        changed += usize::from(square(PassOrder::Pillow13) != pillow);
    }
    assert!(changed > 4, "only {changed} cases tell the orders apart");
}

#[test]
fn squares_equal_torchvisions_resize_and_crop() {
    for (entry, pillow) in expected("squares") {
        let preprocess = Preprocess {
            resize: entry["resize"].as_u64().unwrap() as usize,
            filter: filter(&entry),
            ..Preprocess::clip(pillow.width)
        };
        let ours = preprocess.square(&load(entry["file"].as_str().unwrap()).0);
        assert_eq!(difference(&ours, &pillow), (0.0, 0), "{entry}");
    }
}

#[test]
fn normalisation_equals_numpy_in_f32() {
    let stored = std::fs::read(fixtures().join("normalised.bin")).unwrap();
    let numpy: Vec<f32> = stored.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let pixels: Vec<u8> = (0..=255).flat_map(|value| [value; 3]).collect();
    let mut ours = vec![0.0; pixels.len()];
    Preprocess::clip(16).normalise(&pixels, &mut ours);
    assert_eq!(ours, numpy);
}
