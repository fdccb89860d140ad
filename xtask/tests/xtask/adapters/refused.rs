//! Adapters that are not what they should be, and models that are not theirs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::{adapter, trained};
use crate::support::{Ended, root, text, write, xtask};

/// A copy of the world's CLIP with another value in one of its files.
fn copied(folder: &Path, file: &str, from: &str, to: &str) -> PathBuf {
    let (shipped, copy) = (root().join("assets/world-clip"), folder.join(format!("{file}-{}", to.len())));
    for name in ["config.json", "tokenizer.json", "preprocessor_config.json", "model.safetensors"] {
        write(&copy.join(name), &std::fs::read(shipped.join(name)).unwrap());
    }
    let before = std::fs::read_to_string(copy.join(file)).unwrap();
    assert!(before.contains(from), "{before}");
    write(&copy.join(file), before.replace(from, to).as_bytes());
    copy
}

fn predicting(adapter: &Path, model: &Path) -> Ended {
    xtask(&["predict", "--adapter", text(adapter), "--model", text(model), "picture.png"])
}

#[test]
fn another_model_is_refused_with_both_values() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path(), "proreg");
    let path = adapter(&run);
    let other = folder.path().join("other");
    xtask(&["export", "--adapter", text(&path), "--out", text(&other)]).with_code(0);
    let bytes = std::fs::read(&path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let card: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["regulus"]).unwrap();
    let base = card["base_sha256"].as_str().unwrap();
    predicting(&path, &other).refused().naming(&["adapter.safetensors", "SHA-256", base, "--model"]);

    let gelu = copied(folder.path(), "config.json", "quick_gelu", "gelu");
    predicting(&path, &gelu).refused().naming(&["activation", "quick_gelu in", "here it is gelu in"]);
    let resized = copied(folder.path(), "preprocessor_config.json", "\"resample\": 3", "\"resample\": 2");
    predicting(&path, &resized).refused().naming(&["preprocessing", "Bicubic", "Bilinear"]);
    let encoder = ["--backbone", "assets/world-backbone"];
    let with = xtask(&[&["predict", "--adapter", text(&path), "x.png"], &encoder[..]].concat());
    with.refused().naming(&["model.backbone"]);
    predicting(&path, Path::new("no/such/model")).refused().naming(&["no/such/model", "--model"]);
}

/// The adapter with other tensors and another card.
fn changed(
    path: &Path,
    tensor: impl Fn(&str, Vec<usize>) -> Option<(String, Vec<usize>)>,
    card: impl Fn(&mut Value),
) -> PathBuf {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut entry: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["regulus"]).unwrap();
    card(&mut entry);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let kept = file.iter().filter_map(|(name, view)| {
        let (name, shape) = tensor(name, view.shape().to_vec())?;
        let length = shape.iter().product::<usize>() * if view.dtype() == Dtype::F32 { 4 } else { 1 };
        Some((name, TensorView::new(view.dtype(), shape, &view.data()[..length]).unwrap()))
    });
    let metadata = HashMap::from([("regulus".to_owned(), entry.to_string())]);
    let out = path.with_file_name("changed.safetensors");
    write(&out, &safetensors::serialize(kept, Some(metadata)).unwrap());
    out
}

#[test]
fn values_that_are_not_those_of_the_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path(), "proreg");
    let path = adapter(&run);
    let keep = |name: &str, shape: Vec<usize>| Some((name.to_owned(), shape));
    let as_it_is = |_: &mut Value| {};
    let refused = |path: &Path, parts: &[&str]| {
        xtask(&["predict", "--adapter", text(path), "x.png"]).refused().naming(parts);
    };
    let lacking = changed(&path, |name, shape| keep(name, shape).filter(|_| name != "visual.proj"), as_it_is);
    refused(&lacking, &["lacks", "`visual.proj`", "[128, 128]"]);
    let renamed =
        |name: &str, shape| if name == "visual.proj" { keep("visual.prj", shape) } else { keep(name, shape) };
    let both = changed(&path, renamed, as_it_is);
    refused(&both, &["`visual.proj`"]);
    let cut =
        |name: &str, shape| if name == "visual.proj" { keep(name, vec![5, 128]) } else { keep(name, shape) };
    refused(&changed(&path, cut, as_it_is), &["visual.proj", "[5, 128]", "[128, 128]"]);
    let buffered = changed(&path, keep, |card| card["buffers"] = json!(["visual.ln_pre.bias"]));
    refused(&buffered, &["buffer", "visual.ln_pre.bias"]);
    let recipe = |from: &str, to: &str| {
        let change = |card: &mut Value| {
            let recipe = card["recipe"].as_str().unwrap();
            assert!(recipe.contains(from), "{recipe}");
            card["recipe"] = json!(recipe.replace(from, to));
        };
        changed(&path, keep, change)
    };
    refused(&recipe("\"prob\"", "\"prop\""), &["recipe in the adapter", "prop"]);
    refused(&recipe("batch = 8", "batch = 0"), &["recipe in the adapter", "training.batch"]);
    let newer = changed(&path, keep, |card| card["format"] = json!(99));
    refused(&newer, &["changed.safetensors", "format 99", "newer Regulus"]);

    let masks = adapter(&trained(folder.path(), "r-amt"));
    let threshold = changed(&masks, keep, |card| {
        let bits = card["bits"].as_object_mut().unwrap();
        bits.values_mut().for_each(|packed| packed["threshold"] = json!(0.5));
    });
    refused(&threshold, &["0.5", "0.005"]);
}

#[test]
fn files_that_are_no_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &str, parts: &[&str]| {
        for command in ["predict", "eval", "export"] {
            let rest: &[&str] = match command {
                "predict" => &["x.png"],
                "eval" => &["--data", "world"],
                _ => &["--out", "never-written"],
            };
            let ended = xtask(&[&[command, "--adapter", path], rest].concat());
            ended.refused().naming(parts);
        }
    };
    refused("no/such.safetensors", &["no/such.safetensors"]);
    refused("assets/world-clip", &["is not a file", "adapter.safetensors"]);
    refused("README.md", &["README.md", "not a whole safetensors file"]);
    refused("assets/world-clip/model.safetensors", &["no card of Regulus"]);
    let path = adapter(&trained(folder.path(), "coop"));
    let bytes = std::fs::read(&path).unwrap();
    let cut = folder.path().join("cut.safetensors");
    write(&cut, &bytes[..bytes.len() - 9]);
    refused(text(&cut), &["cut.safetensors", "not a whole safetensors file"]);
}
