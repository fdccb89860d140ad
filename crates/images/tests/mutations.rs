//! Valid images changed at random: an error or an image, never a panic, a hang or memory without bounds.
//!
//! Inputs that once did worse lie in `tests/regressions/<format>/`.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use regulus_images::{DecodeError, DecodeOptions, MAX_PIXELS, PassOrder, Preprocess, decode, decode_native};
use regulus_mutation::{CountingAllocator, Limits, Target};
use std::path::Path;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The largest image that is accepted takes 4 channels of 16 bits, a copy of 8 bits, and the decoder's own buffers.
const BYTES_PER_PIXEL: usize = 20;
/// Decoding the largest image that is accepted, in a build that is not optimised throughout.
const DEADLINE: Duration = Duration::from_secs(60);

/// What decoding must do with any input. A panic inside a decoder counts as a failure here, although [`decode`]
/// would contain it.
fn read(bytes: &[u8]) {
    match decode(bytes) {
        Err(DecodeError::DecoderCrashed { format }) => panic!("the {format} decoder panicked"),
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(decoded) => {
            assert_eq!(decoded.image.pixels.len(), decoded.image.width * decoded.image.height * 3);
            drop(decoded);
            let native = decode_native(bytes, DecodeOptions::default()).unwrap();
            Preprocess::clip(8).square_native(&native.image, PassOrder::Pillow13);
        }
    }
}

/// Mutates all fixtures of a format.
fn check(endings: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(folder.join("fixtures/files")).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if endings.contains(&ending.as_str()) {
            seeds.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    seeds.sort();
    let [name, ..] = endings else { panic!("no ending") };
    let mut target = Target::new(name, seeds.into_iter().map(|(_, bytes)| bytes).collect());
    target.limits =
        Limits { fixed: MAX_PIXELS as usize * BYTES_PER_PIXEL, deadline: DEADLINE, ..Limits::default() };
    target.replay(&folder.join("regressions").join(name), read);
    target.check(read);
}

#[test]
fn png() {
    check(&["png"]);
}

#[test]
fn jpeg() {
    check(&["jpg", "jpeg"]);
}

#[test]
fn gif() {
    check(&["gif"]);
}

#[test]
fn webp() {
    check(&["webp"]);
}

#[test]
fn bmp() {
    check(&["bmp"]);
}

#[test]
fn tiff() {
    check(&["tif", "tiff"]);
}
