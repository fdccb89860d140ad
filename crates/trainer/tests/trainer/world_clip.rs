//! The shipped model is what HF `transformers` sees: same pixels, same ids, same logits. Recorded by
//! `golden/world_clip.py`.

use std::path::Path;

use crate::support::{compare, device, host};
use burn::tensor::Tensor;
use regulus_clip::{Injection, Pretrained};
use regulus_datasets::world::{TestSet, TestSize, WorldTask};
use regulus_trainer::batches::ImageSet;
use safetensors::SafeTensors;

#[test]
fn transformers_and_regulus_agree_on_the_shipped_model() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let device = device();
    let pretrained = Pretrained::load(root.join("../../assets/world-clip"), &device).unwrap();
    let bytes = std::fs::read(root.join("tests/golden/world_clip.safetensors")).unwrap();
    let recorded = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let notes = header.metadata().clone().unwrap();
    let floats = |name: &str| -> Vec<f64> {
        let data = recorded.tensor(name).unwrap().data();
        data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
    };

    let task = WorldTask::few_shot(1, 1, TestSize { images: 20, set: TestSet::Final }).into_task();
    let mut names: Vec<&String> = task.class_names.iter().collect();
    names.sort();
    assert_eq!(notes["classes"], names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(","));
    let order: Vec<usize> =
        names.iter().map(|name| task.class_names.iter().position(|other| &other == name).unwrap()).collect();
    let images = &task.tests[0].images;
    let places: Vec<usize> =
        order.iter().map(|class| images.labels.iter().position(|label| label == class).unwrap()).collect();
    let images = images.subset(&places);
    let set = ImageSet { images: &images, preprocess: &pretrained.preprocess, device: &device };
    let pixels: Tensor<4> = set.chunks(20).next().unwrap();
    compare("pixel_values", &host(pixels.clone()), &floats("pixel_values"), 1e-5);

    let texts: Vec<&str> = notes["texts"].split('|').collect();
    let ids = pretrained.tokenizer.encode_batch(&texts, pretrained.config.text.context).unwrap();
    let rows = recorded.tensor("input_ids").unwrap();
    let width = rows.shape()[1];
    let padded: Vec<u32> =
        rows.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect();
    for (ours, theirs) in ids.iter().zip(padded.chunks_exact(width)) {
        assert_eq!(ours, &theirs[..ours.len()]);
    }

    let none = Injection::none();
    let clip = &pretrained.clip;
    let logits = clip.logits(clip.encode_image(pixels, &none), clip.encode_text(&ids, &none), &none);
    compare("logits_per_image", &host(logits), &floats("logits_per_image"), 1e-4);
}
