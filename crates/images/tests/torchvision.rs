//! Agreement of the augmentations with torchvision, recorded by `fixtures/torchvision.py`.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use regulus_images::augment::{ColorAdjustment, GaussianBlur, grayscale};
use regulus_images::{Filter, RgbImage, crop, resize};
use serde_json::Value;

/// The recorded cases, each with torchvision's image; the first is the picture itself.
fn recorded() -> Vec<(Value, RgbImage)> {
    let record: Value = serde_json::from_str(include_str!("fixtures/torchvision.json")).unwrap();
    let pixels = include_bytes!("fixtures/torchvision.bin");
    let image = |case: &Value| {
        let [width, height, offset] =
            ["width", "height", "offset"].map(|key| case[key].as_u64().unwrap() as usize);
        RgbImage::new(width, height, pixels[offset..offset + width * height * 3].to_vec()).unwrap()
    };
    record["cases"].as_array().unwrap().iter().map(|case| (case.clone(), image(case))).collect()
}

fn changed(case: &Value, image: &RgbImage) -> RgbImage {
    let amount = || case["amount"].as_f64().unwrap();
    match case["change"].as_str().unwrap() {
        "none" => image.clone(),
        "brightness" => ColorAdjustment::Brightness(amount()).apply(image),
        "contrast" => ColorAdjustment::Contrast(amount()).apply(image),
        "saturation" => ColorAdjustment::Saturation(amount()).apply(image),
        "hue" => ColorAdjustment::Hue(amount()).apply(image),
        "grayscale" => grayscale(image),
        "blur" => {
            let radius = case["radius"].as_u64().unwrap() as usize;
            GaussianBlur { radius, sigma: (0.1, 2.0) }.blurred(image, amount())
        }
        "crop" => {
            let [left, top, width, height] =
                std::array::from_fn(|index| case["box"][index].as_u64().unwrap() as usize);
            let filter: Filter = serde_json::from_value(case["filter"].clone()).unwrap();
            resize(&crop(image, left, top, width, height).unwrap(), 16, 16, filter)
        }
        other => panic!("unknown change {other}"),
    }
}

#[test]
fn every_change_equals_torchvision() {
    let cases = recorded();
    assert_eq!(cases.len(), 30);
    let picture = cases[0].1.clone();
    for (case, torchvision) in &cases {
        let ours = changed(case, &picture);
        // torchvision blurs in f32, so that a sum next to a half may be rounded to the other side.
        let allowed = usize::from(case["change"] == "blur") * 2;
        let different: Vec<u8> =
            ours.pixels.iter().zip(&torchvision.pixels).map(|(a, b)| a.abs_diff(*b)).collect();
        let count = different.iter().filter(|&&levels| levels > 0).count();
        assert_eq!((ours.width, ours.height), (torchvision.width, torchvision.height), "{case}");
        assert!(count <= allowed && different.iter().all(|&levels| levels <= 1), "{case}: {count} differ");
    }
}
