//! Plain models from adapters.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use burn::tensor::{Device, Tensor};
use regulus_clip::{Injection, LoadedBackbone, Normalisation, Pretrained};
use regulus_images::decode_file;
use regulus_trainer::device::by_name;
use safetensors::SafeTensors;

use super::{QUICK, adapter, json, pictures, predict, probabilities, trained, trained_with};
use crate::support::{Ended, root, text, write, xtask};

fn device() -> Device {
    by_name("cpu").unwrap()
}

fn export(run: &Path, out: &Path, more: &[&str]) -> Ended {
    xtask(&[&["export", "--adapter", text(&adapter(run)), "--out", text(out)], more].concat())
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data_as::<f32>().iter::<f32>().map(f64::from).collect()
}

/// Values of every tensor of a file.
fn tensors(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let number = |bytes: &[u8]| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()));
    file.iter().map(|(name, view)| (name.to_owned(), view.data().chunks(4).map(number).collect())).collect()
}

/// Class logits of image features by the classifier of an export, computed here.
fn logits(features: &[f64], classifier: &BTreeMap<String, Vec<f64>>) -> Vec<f64> {
    let dot = |row: &[f64], features: &[f64]| row.iter().zip(features).map(|(a, b)| a * b).sum::<f64>();
    match classifier.get("text_features") {
        Some(texts) => {
            let length = features.iter().map(|value| value * value).sum::<f64>().sqrt();
            let scale = classifier["logit_scale"][0].exp() / length;
            texts.chunks(features.len()).map(|row| scale * dot(row, features)).collect()
        }
        None => {
            let rows = classifier["weight"].chunks(features.len()).zip(&classifier["bias"]);
            rows.map(|(row, bias)| dot(row, features) + bias).collect()
        }
    }
}

/// Fails unless the classifier in `folder`, on features that `encode` gives, has the probabilities of the adapter.
fn agrees(run: &Path, classifier: &Path, classes: &Path, set: &Path, encode: &dyn Fn(&Path) -> Vec<f64>) {
    let found = probabilities(&predict(run, &["--format", "jsonl", "--top-k", "20", text(set)]).with_code(0));
    assert!(!found.is_empty());
    let (classifier, classes) = (tensors(classifier), json(classes));
    let classes = classes["classes"].as_array().unwrap();
    for (path, ranked) in found {
        let logits = logits(&encode(Path::new(&path)), &classifier);
        let largest = logits.iter().copied().fold(0.0, |a: f64, b| a.max(b.abs()));
        let sum = logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln() + largest;
        for (name, probability) in ranked {
            let class = classes.iter().position(|class| *class == *name).unwrap();
            let difference = (logits[class] - sum - probability.ln()).abs();
            assert!(difference <= 1e-5 * largest.max(1.0), "{path}, {name}: {difference} of {largest}");
        }
    }
}

fn features_of(model: &Pretrained, path: &Path) -> Vec<f64> {
    let pixels = model.pixels(&decode_file(path).unwrap().image);
    host(model.clip.encode_image(pixels, &Injection::none()))
}

#[test]
fn exports_of_hugging_face_are_the_adapted_model() {
    let folder = tempfile::tempdir().unwrap();
    let set = pictures(folder.path()).join("test/cat");
    for method in ["r-amt", "proreg", "coop", "prograd", "r-amt+coop", "lora"] {
        let (run, out) = (trained(folder.path(), method), folder.path().join(format!("hf-{method}")));
        export(&run, &out, &[]).with_code(0);
        let model = Pretrained::load(&out, &device()).unwrap();
        let (classifier, classes) = (out.join("classifier.safetensors"), out.join("classes.json"));
        agrees(&run, &classifier, &classes, &set, &|path| features_of(&model, path));
        let base = std::fs::read(root().join("assets/world-clip/model.safetensors")).unwrap();
        let changed = std::fs::read(out.join("model.safetensors")).unwrap() != base;
        assert_eq!(changed, !["coop", "prograd"].contains(&method), "{method}");
    }
}

/// With linear classifiers: of unit features, and of those of an encoder without texts.
#[test]
fn linear_classifiers_and_other_encoders() {
    let folder = tempfile::tempdir().unwrap();
    let set = pictures(folder.path()).join("test/cat");
    let (run, out) = (trained_with(folder.path(), "linear-probe", &[]), folder.path().join("probe"));
    export(&run, &out, &[]).with_code(0);
    let model = Pretrained::load(&out, &device()).unwrap();
    let unit = |path: &Path| {
        let features = features_of(&model, path);
        let length = features.iter().map(|value| value * value).sum::<f64>().sqrt();
        features.iter().map(|value| value / length).collect()
    };
    agrees(&run, &out.join("classifier.safetensors"), &out.join("classes.json"), &set, &unit);

    let encoder = ["--backbone", "assets/world-backbone"];
    let run = trained_with(folder.path(), "tes", &[&QUICK[..], &encoder].concat());
    let out = folder.path().join("backbone");
    export(&run, &out, &[]).with_code(0);
    let loaded = LoadedBackbone::load(&out, &device()).unwrap();
    let features = |path: &Path| {
        let square = loaded.preprocess.square(&decode_file(path).unwrap().image);
        let mut planes = vec![0.0; square.pixels.len()];
        loaded.preprocess.normalise(&square.pixels, &mut planes);
        let pixels = Tensor::<1>::from_data(planes.as_slice(), &device());
        let pixels = pixels.reshape([1, 3, square.height, square.width]);
        host(loaded.backbone.features(pixels, &Injection::none(), Normalisation::Running))
    };
    agrees(&run, &out.join("classifier.safetensors"), &out.join("classes.json"), &set, &features);
    let file = folder.path().join("backbone.safetensors");
    export(&run, &file, &["--format", "safetensors"]).refused().naming(&["open_clip", "--format hf"]);
    assert!(!file.exists());
}

#[test]
fn a_file_under_openais_names_is_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path(), "proreg");
    let (home, hf) = (folder.path().join("openai"), folder.path().join("hf"));
    std::fs::create_dir_all(&home).unwrap();
    let out = home.join("model.safetensors");
    let ended = export(&run, &out, &["--format", "safetensors"]).with_code(0);
    for file in ["model.safetensors", "model.classifier.safetensors", "model.classes.json"] {
        assert!(ended.stdout.contains(file) && home.join(file).is_file(), "{}", ended.stdout);
    }
    let names = tensors(&out);
    for name in [
        "visual.conv1.weight",
        "transformer.resblocks.0.attn.in_proj_weight",
        "text_projection",
        "logit_scale",
    ] {
        assert!(names.contains_key(name), "{name}");
    }
    // Heads of the world's CLIP are narrower than OpenAI's, which its weights do not say.
    write(&home.join("config.json"), br#"{"vision_heads": 4, "transformer_heads": 4}"#);
    let tokenizer = std::fs::read(root().join("assets/world-clip/tokenizer.json")).unwrap();
    write(&home.join("tokenizer.json"), &tokenizer);
    let classifier = home.join("model.classifier.safetensors");
    export(&run, &hf, &[]).with_code(0);
    let same = Pretrained::load(&hf, &device()).unwrap();
    let loaded = Pretrained::load(&out, &device()).unwrap();
    let pixels = Tensor::<4>::ones([1, 3, 32, 32], &device());
    let features = |model: &Pretrained| host(model.clip.encode_image(pixels.clone(), &Injection::none()));
    assert_eq!(features(&loaded), features(&same));
    let bytes = |path: &Path| std::fs::read(path).unwrap();
    assert_eq!(bytes(&classifier), bytes(&hf.join("classifier.safetensors")));
}

#[test]
fn what_is_there_stays_there() {
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (trained(folder.path(), "coop"), folder.path().join("out"));
    export(&run, &out, &[]).with_code(0);
    export(&run, &out, &[]).refused().naming(&["out exists", "--force"]);
    export(&run, &out, &["--force"]).with_code(0);
    write(&out.join("thesis.tex"), b"years of work");
    export(&run, &out, &["--force"]).refused().naming(&["thesis.tex"]);
    assert!(out.join("thesis.tex").is_file());
    let file = folder.path().join("plain.safetensors");
    export(&run, &file, &["--format", "safetensors"]).with_code(0);
    export(&run, &file, &["--format", "safetensors"]).refused().naming(&["plain.safetensors exists"]);
    export(&run, &file, &["--format", "safetensors", "--force"]).with_code(0);
}

#[test]
fn what_has_no_plain_form_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (method, reason) in [
        ("vpt", "learned prompts beside the image"),
        ("cocoop", "texts depend on the image"),
        ("finetune-promptless", "promptless head"),
        ("clip-adapter", "behind the image tower"),
        ("tip-adapter-f", "cache"),
        ("tes", "before the projection"),
    ] {
        let run = trained(folder.path(), method);
        export(&run, &out, &[]).refused().naming(&[method, reason]);
        assert!(!out.exists());
    }
}

/// Needs `transformers`, `torch`, `safetensors` and `pillow`: `REGULUS_PYTHON` names the interpreter (`python3`).
#[test]
#[ignore = "needs Python with transformers"]
fn transformers_loads_an_export() {
    let folder = tempfile::tempdir().unwrap();
    let set = pictures(folder.path());
    let picture = std::fs::read_dir(set.join("test/cat")).unwrap().next().unwrap().unwrap().path();
    for method in ["r-amt", "proreg", "finetune-fresh"] {
        let (run, out) = (trained(folder.path(), method), folder.path().join(format!("out-{method}")));
        export(&run, &out, &[]).with_code(0);
        let features: Vec<f64> = serde_json::from_str(&python(FEATURES, &out, &picture)).unwrap();
        let model = Pretrained::load(&out, &device()).unwrap();
        let ours = features_of(&model, &picture);
        let largest = ours.iter().copied().fold(0.0, |a: f64, b| a.max(b.abs()));
        assert_eq!(features.len(), ours.len());
        for (theirs, ours) in features.iter().zip(&ours) {
            assert!((theirs - ours).abs() <= 1e-4 * largest, "{theirs} against {ours} of {largest}");
        }
        // The program in the folder says what the adapter says.
        let readme = std::fs::read_to_string(out.join("README.md")).unwrap();
        let program = readme.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
        let said = python(program, &out, &picture);
        let ranked = probabilities(&predict(&run, &["--format", "jsonl", text(&picture)]).with_code(0));
        let (class, probability) = &ranked.values().next().unwrap()[0];
        let expected = format!("{class}: {:.1} %", 100.0 * probability);
        assert_eq!(said.lines().next(), Some(expected.as_str()), "{said}");
    }
}

const FEATURES: &str = "
import json, sys
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPModel
folder, path = sys.argv[1:]
model = CLIPModel.from_pretrained(folder).eval()
image = Image.open(path).convert('RGB')
pixels = CLIPImageProcessor.from_pretrained(folder)(images=image, return_tensors='pt')['pixel_values']
with torch.no_grad():
    features = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
print(json.dumps(features[0].tolist()))
";

fn python(program: &str, folder: &Path, picture: &Path) -> String {
    let interpreter = std::env::var("REGULUS_PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(interpreter).args(["-c", program]).args([folder, picture]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
