//! Augmentations: agreement with Pillow on the images that `fixtures/make_augment.py` renders, and what holds for
//! every image.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use regulus_images::RgbImage;
use regulus_images::augment::{Operation, PaddedCrop, RandAugment};
use regulus_images::random::Stream;
use serde_json::Value;
use std::path::PathBuf;

struct Recorded {
    lists: Value,
    pixels: Vec<u8>,
}

impl Recorded {
    fn open() -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augment");
        let read = |extension| std::fs::read(path.with_extension(extension)).unwrap();
        Self { lists: serde_json::from_slice(&read("json")).unwrap(), pixels: read("bin") }
    }

    fn list(&self, name: &str) -> &[Value] {
        self.lists[name].as_array().unwrap()
    }

    /// The stored bytes of an entry.
    fn bytes(&self, entry: &Value, length: usize) -> &[u8] {
        &self.pixels[number(entry, "offset")..][..length]
    }

    fn source(&self, index: usize) -> RgbImage {
        let entry = &self.list("sources")[index];
        let (width, height) = (number(entry, "width"), number(entry, "height"));
        RgbImage::new(width, height, self.bytes(entry, width * height * 3).to_vec()).unwrap()
    }
}

fn number(entry: &Value, key: &str) -> usize {
    entry[key].as_u64().unwrap() as usize
}

fn operation(entry: &Value) -> Operation {
    let strength = entry["strength"].as_f64().unwrap();
    let factor = strength as f32;
    match entry["operation"].as_str().unwrap() {
        "auto-contrast" => Operation::AutoContrast,
        "equalize" => Operation::Equalize,
        "rotate" => Operation::Rotate { degrees: strength },
        "posterize" => Operation::Posterize { bits: strength as u32 },
        "solarize" => Operation::Solarize { threshold: strength },
        "solarize-add" => Operation::SolarizeAdd { addition: strength },
        "color" => Operation::Color { factor },
        "contrast" => Operation::Contrast { factor },
        "brightness" => Operation::Brightness { factor },
        "sharpness" => Operation::Sharpness { factor },
        "shear-x" => Operation::ShearX { slope: strength },
        "shear-y" => Operation::ShearY { slope: strength },
        "translate-x" => Operation::TranslateX { pixels: strength },
        "translate-y" => Operation::TranslateY { pixels: strength },
        unknown => panic!("{unknown}"),
    }
}

#[test]
fn every_operation_equals_pillow() {
    let recorded = Recorded::open();
    let cases = recorded.list("cases");
    assert!(cases.len() > 600);
    let differs = |case: &&Value| {
        let source = recorded.source(number(case, "source"));
        operation(case).apply(&source).pixels != recorded.bytes(case, source.pixels.len())
    };
    let wrong: Vec<&Value> = cases.iter().filter(differs).collect();
    assert!(wrong.is_empty(), "{} of {} cases: {wrong:#?}", wrong.len(), cases.len());
}

/// Every pixel tells its place, as in `make_augment.py`.
fn numbered(width: usize, height: usize) -> RgbImage {
    let pixel = |at: usize| {
        let (x, y) = (at % width, at / width);
        [((7 * x + 13 * y) % 251) as u8, (x % 256) as u8, ((x / 256 + y) % 256) as u8]
    };
    RgbImage::new(width, height, (0..width * height).flat_map(pixel).collect()).unwrap()
}

#[test]
fn images_beyond_the_reach_of_fixed_point_equal_pillow() {
    let recorded = Recorded::open();
    let cases = recorded.list("wide");
    assert_eq!(cases.len(), 10);
    for case in cases {
        let changed = operation(case).apply(&numbered(number(case, "width"), number(case, "height")));
        let (pixels, _) = changed.pixels.as_chunks::<3>();
        let kept: Vec<u8> = pixels.iter().step_by(number(case, "stride")).flatten().copied().collect();
        assert!(kept == recorded.bytes(case, kept.len()), "{case}");
    }
}

fn image() -> impl Strategy<Value = RgbImage> {
    (1usize..24, 1usize..24).prop_flat_map(|(width, height)| {
        prop::collection::vec(any::<u8>(), width * height * 3)
            .prop_map(move |pixels| RgbImage::new(width, height, pixels).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_image_keeps_its_size(
        image in image(), operations in 0usize..6, magnitude in 0.0..=30.0, seed in any::<u64>(),
    ) {
        let augment = RandAugment { operations, magnitude };
        let changed = augment.apply(&image, &mut Stream::new(seed, "augment", 0, 0));
        prop_assert_eq!((changed.width, changed.height), (image.width, image.height));
        prop_assert_eq!(changed.pixels.len(), image.pixels.len());
        let shifted = PaddedCrop { padding: operations }.apply(&image, &mut Stream::new(seed, "shift", 0, 0));
        prop_assert_eq!(shifted.pixels.len(), image.pixels.len());
    }

    #[test]
    fn no_strength_makes_an_operation_panic(image in image(), magnitude in any::<f64>(), seed in any::<u64>()) {
        let augment = RandAugment { operations: 3, magnitude };
        let changed = augment.apply(&image, &mut Stream::new(seed, "augment", 0, 0));
        prop_assert_eq!(changed.pixels.len(), image.pixels.len());
    }

    /// What stays the same colour everywhere cannot be told from its moved self, except where black comes in.
    #[test]
    fn moves_bring_in_nothing_but_black(
        colour in any::<[u8; 3]>(), size in (1usize..20, 1usize..20), strength in -1.0..1.0,
    ) {
        let flat = RgbImage::new(size.0, size.1, colour.repeat(size.0 * size.1)).unwrap();
        for operation in [
            Operation::Rotate { degrees: 30.0 * strength },
            Operation::ShearX { slope: strength },
            Operation::ShearY { slope: strength },
            Operation::TranslateX { pixels: 20.0 * strength },
            Operation::TranslateY { pixels: 20.0 * strength },
        ] {
            let moved = operation.apply(&flat);
            let (pixels, _) = moved.pixels.as_chunks::<3>();
            prop_assert!(pixels.iter().all(|pixel| *pixel == colour || *pixel == [0; 3]), "{:?}", operation);
        }
    }
}
