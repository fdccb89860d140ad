//! Times each step from a JPEG file to a model's input, on one thread. `speed_pil.py` does the same with
//! Pillow and NumPy, and compares the two.

use regulus_images::{Preprocess, decode};
use std::hint::black_box;
use std::time::Instant;

/// Repetitions of each step.
const REPETITIONS: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/scene.jpg"))?;
    let preprocess = Preprocess::clip(224);
    let image = decode(&file)?.image;
    let square = preprocess.square(&image);
    let mut input = vec![0.0; square.pixels.len()];

    report("decode", || drop(black_box(decode(black_box(&file)))));
    report("resize and crop", || drop(black_box(preprocess.square(black_box(&image)))));
    report("normalise", || preprocess.normalise(black_box(&square.pixels), black_box(&mut input)));
    report("all together", || {
        if let Ok(decoded) = decode(black_box(&file)) {
            preprocess.normalise(&preprocess.square(&decoded.image).pixels, black_box(&mut input));
        }
    });
    Ok(())
}

/// Prints the median time of a step in milliseconds.
fn report(step: &str, mut run: impl FnMut()) {
    let mut times: Vec<f64> = (0..REPETITIONS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{step}: {:.4}", times[REPETITIONS / 2]);
}
