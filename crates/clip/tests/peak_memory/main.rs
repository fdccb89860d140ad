//! Loading a full-size model takes little more memory than the model: a file stays on disk until a tensor of it is
//! converted, and is given back after that. Weights in f32 are not converted at all, and take none before they are used.
//!
//! A process of its own, because the high-water mark of memory is one number per process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use burn::tensor::Device;
use regulus_clip::{Clip, ClipConfig, LoadedClip};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Number format of a file, the bytes of a value, and the most memory in sizes of the model in f32.
const FORMATS: [(&str, u64, f64); 2] = [("F32", 4, 0.1), ("F16", 2, 1.3)];

/// A field of `/proc/self/status`, in bytes.
fn status(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

/// Writes a file of that architecture under OpenAI's names. The values are zeros that take no room on disk. Gives the
/// number of bytes of the values.
fn write_model(path: &Path, config: &ClipConfig, dtype: &str, size: u64) -> u64 {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in Clip::shapes_of(config, &Device::flex()).unwrap() {
        let name = name.strip_prefix("text.").unwrap_or(&name);
        let shape = if name == "logit_scale" { Vec::new() } else { shape };
        let start = end;
        end += size * shape.iter().product::<usize>() as u64;
        let entry = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        header.insert(name.to_string(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&header).unwrap();
    file.set_len(8 + header.len() as u64 + end).unwrap();
    end
}

#[test]
fn vit_b_16_is_loaded_within_the_limit() {
    let config = ClipConfig::openai("ViT-B/16").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    // The high-water mark only rises, so the format that takes less comes first.
    for (dtype, size, limit) in FORMATS {
        let model = write_model(&path, &config, dtype, size) as f64 * 4.0 / size as f64;
        let before = status("VmRSS");
        let began = std::time::Instant::now();
        let loaded = LoadedClip::load(&path, &Device::flex()).unwrap();
        let seconds = began.elapsed().as_secs_f64();
        assert_eq!(loaded.config.image, config.image);
        let peak = (status("VmHWM") - before) / model;
        println!("{dtype}: peak {peak:.3} x the model of {:.0} MB, {seconds:.2} s", model / 1e6);
        assert!(peak <= limit, "{dtype}: the peak is {peak:.2} times the model");
    }
}
