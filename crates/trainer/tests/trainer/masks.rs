//! Mask tuning where no trajectory is recorded: which weights are masked, gradients against finite differences, and
//! what is left of a model when its masks are gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use regulus_clip::{Clip, ClipConfig, ImageConfig, Injection, ResNetConfig, TextConfig};
use regulus_images::random::Stream;
use regulus_losses::cross_entropy;
use regulus_trainer::batches::Batch;
use regulus_trainer::method::Method;
use regulus_trainer::methods::{
    GradientDropout, MaskPart, MaskSettings, MaskTargets, MaskTuning, SeededDraws, importance_by_gradient,
};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

use crate::support::{Case, RecordedBatches, compare, device, host, tiny_clip, token_rows};

const ALL: MaskTargets = MaskTargets { part: MaskPart::Both, first_convolution: true };

fn tiny_vit(device: &Device) -> (ZeroShot, Batch) {
    let common = Case::open("common");
    let clip = tiny_clip(&common, device);
    let features = text_features(&clip, &[token_rows(&common, "tokens")], Averaging::UnitFirst);
    let batch = RecordedBatches { common: &common, device }.at(0).unwrap();
    (ZeroShot::new(clip, features), batch)
}

/// A residual network without the zeros that its blocks start from, and with signals large enough to see slopes in
/// f32; and a random batch.
fn tiny_resnet(device: &Device) -> (ZeroShot, Batch) {
    let vit = tiny_clip(&Case::open("common"), device);
    let config = ClipConfig {
        embed_dim: 8,
        image: ImageConfig::ResNet(ResNetConfig { resolution: 64, width: 4, blocks: [1, 2, 1, 1], heads: 4 }),
        text: TextConfig { layers: 1, ..vit.text.config().clone() },
        logit_scale_init: 3.0,
    };
    let clip = Clip::init(&config, 3, device).unwrap();
    let mut blocks = BTreeMap::new();
    for (path, shape) in clip.shapes() {
        if path.contains(".bn") && path.ends_with(".weight") {
            blocks.insert(path, Tensor::full([shape[0]], 2.0, device));
        }
    }
    let clip = clip.with_parameters(&blocks).unwrap();
    let mut stream = Stream::new(1, "tests", 0, 0);
    let mut normal = |count: usize| (0..count).map(|_| stream.normal() as f32).collect::<Vec<f32>>();
    let features = Tensor::<1>::from_data(normal(3 * 8).as_slice(), device).reshape([3, 8]);
    let pixels = Tensor::<1>::from_data(normal(4 * 3 * 64 * 64).as_slice(), device).reshape([4, 3, 64, 64]);
    let labels = Tensor::from_data([0i64, 1, 2, 1].as_slice(), device);
    let batch = Batch { pixels, labels, indices: vec![0, 1, 2, 3], epoch: 0, step: 0 };
    (ZeroShot::new(clip, features), batch)
}

fn tuning(model: &ZeroShot, targets: MaskTargets, dropout: Option<GradientDropout>) -> MaskTuning {
    let settings = MaskSettings { norm_weight: 0.0, dropout, ..MaskSettings::default() };
    MaskTuning::new(model.clone(), targets, settings, Arc::new(SeededDraws { seed: 2 }))
}

/// Masks of which about a third is off.
fn mixed(masks: &Parameters) -> Parameters {
    let mut stream = Stream::new(9, "tests", 0, 0);
    masks.map(|_, leaf| {
        let count = leaf.shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|_| if stream.chance(0.3) { 4e-3 } else { 1e-2 }).collect();
        Tensor::from_data(values.as_slice(), &leaf.value.device())
    })
}

fn paths(method: &MaskTuning) -> Vec<&str> {
    method.masked().iter().map(|weight| weight.path.trim_start_matches("visual.")).collect()
}

#[test]
fn the_parts_of_a_transformer_are_masked_in_module_order() {
    let (model, _) = tiny_vit(&device());
    let of = |part, first_convolution| {
        let method = tuning(&model, MaskTargets { part, first_convolution }, None);
        paths(&method).into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    let block = |layer: usize, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("transformer.resblocks.{layer}.{name}")).collect()
    };
    let blocks = |names: &[&str]| (0..3).flat_map(|layer| block(layer, names)).collect::<Vec<String>>();
    let attention = ["attn.in_proj_weight", "attn.out_proj.weight"];
    let mlp = ["mlp.c_fc.weight", "mlp.c_proj.weight"];
    assert_eq!(of(MaskPart::Attention, false), blocks(&attention));
    assert_eq!(of(MaskPart::Mlp, false), blocks(&mlp));
    assert_eq!(of(MaskPart::Both, false), blocks(&[attention, mlp].concat()));
    let with = of(MaskPart::Attention, true);
    assert_eq!((with[0].as_str(), &with[1..]), ("conv1.weight", blocks(&attention).as_slice()));
}

#[test]
fn of_a_residual_network_all_convolutions_and_the_pool_are_masked() {
    let (model, _) = tiny_resnet(&device());
    let method = tuning(&model, MaskTargets { part: MaskPart::Attention, first_convolution: false }, None);
    let found = paths(&method);
    // Three of the stem, three of each of five blocks, four shortcuts, four of the pool.
    assert_eq!(found.len(), 3 + 15 + 4 + 4, "{found:?}");
    assert!(found.contains(&"layer2.0.downsample.0.weight") && found.contains(&"attnpool.q_proj.weight"));
    assert!(!found.iter().any(|path| path.contains("bn")));
}

#[test]
fn gradients_of_a_transformers_masks_agree_with_finite_differences() {
    let device = device();
    let (model, batch) = tiny_vit(&device);
    for part in [MaskPart::Attention, MaskPart::Mlp] {
        check_gradients(&model, MaskTargets { part, first_convolution: true }, &batch, 3e-3);
    }
}

#[test]
fn gradients_of_a_residual_networks_masks_agree_with_finite_differences() {
    let device = device();
    let (model, batch) = tiny_resnet(&device);
    check_gradients(&model, ALL, &batch, 1e-3);
}

/// The gradient of a mask is the slope of the loss along its weight, for entries that are on and off alike: the
/// masked weights `W'` are moved along `direction * W`, and the loss is read off a model that holds them.
fn check_gradients(model: &ZeroShot, targets: MaskTargets, batch: &Batch, step: f64) {
    let method = tuning(model, targets, None);
    let masks = mixed(&method.parameters());
    let gradients = method.step(&masks, batch).gradients;
    let merged = method.merged(&masks).unwrap();
    let kept: BTreeMap<String, Tensor<1>> = merged
        .parameters(regulus_clip::Part::Image)
        .into_iter()
        .map(|parameter| (parameter.path, parameter.value))
        .collect();
    let loss = |path: &str, weight: Tensor<1>| -> f64 {
        let injection = Injection::none().replace(path, weight);
        let holder = ZeroShot::new(merged.clone(), model.text_features());
        let logits = holder.classify_with(batch.pixels.clone(), &injection);
        cross_entropy(logits, batch.labels.clone()).mean().into_scalar()
    };
    for weight in method.masked() {
        let gradient = gradients[&weight.path].clone();
        let size: f64 = host(gradient.clone()).iter().map(|slope| slope * slope).sum::<f64>().sqrt();
        assert!(size > 1e-4, "{}: the gradient is {size}", weight.path);
        // Along the gradient itself, where the loss changes most.
        let way = gradient / size * weight.value.clone() * step;
        let (kept, path) = (kept[&weight.path].clone(), weight.path.as_str());
        let slope = (loss(path, kept.clone() + way.clone()) - loss(path, kept - way)) / (2.0 * step);
        assert!((slope - size).abs() < 0.02 * size + 1e-3, "{path}: {slope} against {size}");
    }
}

#[test]
fn a_dropout_that_keeps_everything_changes_nothing() {
    let (model, batch) = tiny_vit(&device());
    let plain = tuning(&model, ALL, None);
    let masks = mixed(&plain.parameters());
    let expected = plain.step(&masks, &batch).gradients;
    let dropout = |lambda| Some(GradientDropout { lambda, ..GradientDropout::default() });
    let kept = tuning(&model, ALL, dropout(0.0)).step(&masks, &batch).gradients;
    let dropped = tuning(&model, ALL, dropout(1.0)).step(&masks, &batch);
    let share = dropped.terms.iter().find(|(name, _)| *name == "kept").unwrap().1;
    let (mut zeros, mut all) = (0usize, 0usize);
    for (path, gradient) in expected {
        let gradient = host(gradient);
        compare(&path, &host(kept[&path].clone()), &gradient, 1e-9);
        for (found, whole) in host(dropped.gradients[&path].clone()).into_iter().zip(gradient) {
            assert!(found == 0.0 || (found - whole).abs() < 1e-9, "{path}: {found} of {whole}");
            zeros += usize::from(found == 0.0);
            all += 1;
        }
    }
    assert!((0.3..0.9).contains(&share), "{share}");
    assert!((zeros as f64 / all as f64 - (1.0 - share)).abs() < 1e-6);
}

#[test]
fn a_merged_model_needs_no_masks() {
    let device = device();
    for (model, batch) in [tiny_vit(&device), tiny_resnet(&device)] {
        let method = tuning(&model, ALL, None);
        let fresh = method.parameters();
        assert_eq!(method.sparsity(&fresh).off, 0);
        let plain = host(model.classify(batch.pixels.clone()));
        compare("all on", &host(method.logits(&fresh, batch.pixels.clone())), &plain, 1e-5);
        let masks = mixed(&fresh);
        let sparsity = method.sparsity(&masks);
        assert!((sparsity.share_of_masked() - 0.3).abs() < 0.03, "{sparsity:?}");
        assert!(sparsity.masked < method.tower_parameters());
        let masked = host(method.logits(&masks, batch.pixels.clone()));
        let merged = ZeroShot::new(method.merged(&masks).unwrap(), model.text_features());
        compare("merged", &host(merged.classify(batch.pixels)), &masked, 1e-5);
    }
}

#[test]
fn importance_is_the_mean_size_of_the_gradient() {
    let (model, batch) = tiny_vit(&device());
    let method = tuning(&model, ALL, None);
    let gradients = method.step(&method.parameters(), &batch).gradients;
    let importance = importance_by_gradient(&model, [batch.clone(), batch]);
    assert_eq!(importance[0].path, "visual.conv1.weight");
    for weight in method.masked() {
        // With all masks on, the gradient of a mask is that of the weight times the weight.
        let slopes = host(gradients[&weight.path].clone());
        let sizes = slopes.iter().zip(host(weight.value.clone())).map(|(slope, value)| (slope / value).abs());
        let found = importance.iter().find(|found| found.path == weight.path).unwrap();
        let expected = sizes.sum::<f64>() / slopes.len() as f64;
        assert_eq!(found.parameters, slopes.len());
        assert!((found.gradient - expected).abs() < 1e-4 * expected, "{}: {found:?}", weight.path);
    }
}
