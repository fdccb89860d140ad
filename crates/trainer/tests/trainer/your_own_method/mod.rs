//! The guide to a method of one's own: its code is this code, and it does what the guide says.

mod bias_tuning;
mod try_it;

use std::path::Path;

use regulus_trainer::method::Method;
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

use crate::support::{Case, device, tiny_clip, token_rows};
use bias_tuning::BiasTuning;

const METHOD: &str = include_str!("bias_tuning.rs");
const TRY_IT: &str = include_str!("try_it.rs");

/// The blocks of Rust in the guide.
fn blocks() -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/your-own-method.md");
    let guide = std::fs::read_to_string(guide).unwrap().replace("\r\n", "\n");
    let blocks = guide.split("```rust\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_guide_shows_the_code_that_runs() {
    let blocks = blocks();
    assert!(blocks[0] == METHOD, "the guide's first block is not bias_tuning.rs");
    assert!(blocks[1] == TRY_IT, "the guide's second block is not try_it.rs");
    let lines = METHOD.lines().count();
    assert!(lines < 60, "a method of one's own takes {lines} lines");
}

#[test]
fn it_learns_the_training_task() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/world-clip");
    let compared = try_it::compare(&model, &device()).unwrap();
    compared.iter().for_each(|split| println!("{split:?}"));
    let id = &compared[0];
    assert_eq!(id.split, "id");
    assert!(id.tuned > id.zero_shot + 5.0, "{id:?}");
}

#[test]
fn only_biases_are_trained_and_the_start_is_the_zero_shot_model() {
    let (common, device) = (Case::open("common"), device());
    let clip = tiny_clip(&common, &device);
    let features = text_features(&clip, &[token_rows(&common, "tokens")], Averaging::UnitFirst);
    let zero_shot = ZeroShot::new(clip, features);
    let method = BiasTuning::new(zero_shot.clone(), 1.0);
    let parameters = method.parameters();
    assert!(parameters.len() > 10 && parameters.iter().all(|(name, _)| name.ends_with("bias")));
    let pixels = common.tensor("test_images", &device);
    let start = method.logits(&parameters, pixels.clone());
    assert_eq!(start.to_data(), zero_shot.classify(pixels).to_data());
}
