//! Files that are broken, cut short or lie about their size: an error, never a panic, never much memory.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use regulus_images::{
    DecodeError, DecodeOptions, MAX_PIXELS, PassOrder, Preprocess, decode, decode_file, decode_native,
};
use std::path::{Path, PathBuf};

fn fixture_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 40);
    files
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files").join(name)).unwrap()
}

/// What must hold for any input. A panic inside a decoder counts as a failure here, although [`decode`]
/// would contain it.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    match decode(bytes) {
        Ok(decoded) => {
            let image = decoded.image;
            prop_assert!(image.width * image.height > 0);
            prop_assert!((image.width * image.height) as u64 <= MAX_PIXELS);
            prop_assert_eq!(image.pixels.len(), image.width * image.height * 3);
            let native = decode_native(bytes, DecodeOptions::default());
            prop_assert!(native.is_ok());
            let square =
                native.map(|decoded| Preprocess::clip(8).square_native(&decoded.image, PassOrder::Pillow13));
            prop_assert_eq!(square.map(|square| square.pixels.len()).ok(), Some(8 * 8 * 3));
        }
        Err(DecodeError::DecoderCrashed { format }) => prop_assert!(false, "the {} decoder panicked", format),
        Err(error) => prop_assert!(!error.to_string().is_empty()),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        rng_seed: RngSeed::Fixed(20_240_607),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes)?;
    }

    #[test]
    fn damaged_files_do_not_panic(
        file in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        in_header in any::<bool>(),
        cut in prop::option::weighted(0.2, any::<Index>()),
    ) {
        let files = fixture_files();
        let mut bytes = std::fs::read(file.get(&files)).unwrap();
        let reach = if in_header { bytes.len().min(120) } else { bytes.len() };
        for (place, value) in changes {
            bytes[place.index(reach)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check(&bytes)?;
    }
}

#[test]
fn every_file_cut_at_every_32nd_byte_is_an_error_or_an_image() {
    for path in fixture_files() {
        let bytes = std::fs::read(&path).unwrap();
        for length in (0..bytes.len()).step_by(32) {
            check(&bytes[..length]).unwrap();
        }
    }
}

#[test]
fn a_jpeg_without_its_end_is_refused_as_pillow_refuses_it() {
    for name in ["rgb.jpg", "progressive.jpg", "gray.jpg", "cmyk.jpg"] {
        let bytes = fixture(name);
        for missing in [1, 2, 40] {
            let result = decode(&bytes[..bytes.len() - missing]);
            assert!(matches!(result, Err(DecodeError::Truncated { .. })), "{name}: {result:?}");
        }
    }
}

#[test]
fn a_png_without_its_end_is_refused() {
    let bytes = fixture("rgb.png");
    assert!(decode(&bytes[..bytes.len() / 2]).is_err());
}

/// The same files with headers that promise gigapixels.
#[test]
fn huge_sizes_are_refused_from_the_header() {
    let mut png = fixture("rgb.png");
    png[16..20].copy_from_slice(&50_000u32.to_be_bytes());
    png[20..24].copy_from_slice(&50_000u32.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());

    let mut jpeg = fixture("rgb.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);

    let mut gif = fixture("still.gif");
    gif[6..10].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);

    let mut bmp = fixture("rgb.bmp");
    bmp[18..22].copy_from_slice(&30_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&30_000u32.to_le_bytes());

    for (name, bytes) in [("PNG", png), ("JPEG", jpeg), ("GIF", gif), ("BMP", bmp)] {
        let result = decode(&bytes);
        assert!(matches!(result, Err(DecodeError::TooManyPixels { .. })), "{name}: {result:?}");
    }
}

#[test]
fn other_files_are_not_images() {
    for bytes in [&b""[..], b"hello", b"%PDF-1.7", b"\0\0\0\x20ftypavif"] {
        assert!(matches!(decode(bytes), Err(DecodeError::Unrecognised)));
    }
}

#[test]
fn the_name_of_a_file_does_not_decide_its_format() {
    let path = std::env::temp_dir().join(format!("regulus-images-{}.png", std::process::id()));
    std::fs::write(&path, fixture("rgb.jpg")).unwrap();
    let decoded = decode_file(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(decoded.unwrap(), decode(&fixture("rgb.jpg")).unwrap());
}

#[test]
fn a_missing_file_is_named_in_the_error() {
    let error = decode_file(Path::new("no/such/picture.png")).unwrap_err();
    assert!(matches!(error.cause, DecodeError::Unreadable(_)));
    assert!(error.to_string().contains("no/such/picture.png"));
}

/// The checksum of PNG chunks (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}
