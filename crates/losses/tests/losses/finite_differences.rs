//! Gradients of random cases against central differences in f64.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use proptest::prelude::*;
use regulus_losses::{
    BatchOutputs, FusedTarget, PromptSrcWeights, TesSettings, cross_entropy, fused_distillation,
    mask_regulariser, masked_weight, nt_xent, promptsrc, reference_logits, soft_cross_entropy, tes,
    tes_soft_labels,
};

use crate::devices::{precisions, unit, wide};

const STEP: f64 = 1e-6;

/// The test devices that compute in f64.
fn double_devices() -> impl Iterator<Item = Device> {
    precisions().into_iter().filter(|(_, dtype)| *dtype == DType::F64).map(|(device, _)| device)
}

fn tensor(values: &[f64], [rows, columns]: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, columns]), (device, DType::F64))
}

/// The values of `loss` where each of `values` is moved by `±STEP`, as slopes.
fn differences(values: &[f64], loss: impl Fn(&[f64]) -> Tensor<1>) -> Vec<f64> {
    let moved = |index: usize, by: f64| {
        let mut values = values.to_vec();
        values[index] += by;
        wide(loss(&values))[0]
    };
    (0..values.len()).map(|index| (moved(index, STEP) - moved(index, -STEP)) / (2.0 * STEP)).collect()
}

fn check(what: &str, gradient: Option<Tensor<2>>, differences: &[f64]) {
    let gradient = gradient.map_or(vec![0.0; differences.len()], wide);
    for (gradient, difference) in gradient.iter().zip(differences) {
        let error = (gradient - difference).abs();
        assert!(error <= 1e-6 * difference.abs().max(1.0), "{what}: {gradient}, differences {difference}");
    }
}

fn numbers(count: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-2.0..2.0, count)
}

const BATCH: usize = 3;
const CLASSES: usize = 4;
const WIDTH: usize = 5;

fn labels(device: &Device) -> Tensor<1, Int> {
    Tensor::from_data([2i64, 0, 3], device)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_promptsrc(
        image in numbers(BATCH * WIDTH), text in numbers(CLASSES * WIDTH),
        frozen_image in numbers(BATCH * WIDTH), frozen_text in numbers(CLASSES * WIDTH),
    ) {
        for device in double_devices() {
            let outputs = |image: Tensor<2>, text: Tensor<2>| {
                let (image, text) = (unit(image), unit(text));
                let logits = image.clone().matmul(text.clone().transpose()) * 10.0;
                BatchOutputs { image, text, logits }
            };
            let images = |values: &[f64]| tensor(values, [BATCH, WIDTH], &device);
            let texts = |values: &[f64]| tensor(values, [CLASSES, WIDTH], &device);
            let loss = |image: Tensor<2>, text: Tensor<2>| {
                let frozen = outputs(images(&frozen_image), texts(&frozen_text));
                promptsrc(outputs(image, text), frozen, labels(&device), PromptSrcWeights::default()).loss
            };
            let (image_leaf, text_leaf) = (images(&image).require_grad(), texts(&text).require_grad());
            let gradients = loss(image_leaf.clone(), text_leaf.clone()).backward();
            let slopes = differences(&image, |image| loss(images(image), texts(&text)));
            check("image", image_leaf.grad(&gradients), &slopes);
            let slopes = differences(&text, |text| loss(images(&image), texts(text)));
            check("text", text_leaf.grad(&gradients), &slopes);
        }
    }

    #[test]
    fn of_tes_with_constant_soft_labels(
        logits in numbers(BATCH * CLASSES), projected in numbers(BATCH * WIDTH), text in numbers(CLASSES * WIDTH),
        lambda_v in 0.0..1.0, lambda_t in 0.0..1.0,
    ) {
        for device in double_devices() {
            let settings = TesSettings { tau: 0.2, lambda_v, lambda_t };
            let text = unit(tensor(&text, [CLASSES, WIDTH], &device));
            let logits_of = |values: &[f64]| tensor(values, [BATCH, CLASSES], &device);
            let projected_of = |values: &[f64]| tensor(values, [BATCH, WIDTH], &device);
            let (logits_leaf, projected_leaf) =
                (logits_of(&logits).require_grad(), projected_of(&projected).require_grad());
            let result = tes(logits_leaf.clone(), unit(projected_leaf.clone()), text.clone(), labels(&device), settings);
            let gradients = result.loss.backward();

            let reference = |values: &[f64]| reference_logits(unit(projected_of(values)), text.clone(), settings.tau);
            let fixed = tes_soft_labels(reference(&projected), labels(&device), lambda_v);
            let slopes = differences(&logits, |logits| soft_cross_entropy(logits_of(logits), fixed.clone()).mean());
            check("vision logits", logits_leaf.grad(&gradients), &slopes);
            let slopes = differences(&projected, |projected| {
                cross_entropy(reference(projected), labels(&device)).mean() * lambda_t
            });
            check("projection", projected_leaf.grad(&gradients), &slopes);
        }
    }

    #[test]
    fn of_views_of_images(views in numbers(2 * BATCH * WIDTH), temperature in 0.1..2.0) {
        for device in double_devices() {
            let shape = [2 * BATCH, WIDTH];
            let loss = |views: Tensor<2>| nt_xent(unit(views), temperature).mean();
            let leaf = tensor(&views, shape, &device).require_grad();
            let gradients = loss(leaf.clone()).backward();
            let slopes = differences(&views, |views| loss(tensor(views, shape, &device)));
            check("views", leaf.grad(&gradients), &slopes);
        }
    }

    #[test]
    fn of_distillation_from_a_fused_teacher(
        student in numbers(BATCH * CLASSES), teacher in numbers(BATCH * CLASSES),
        fuse in 0.0..1.0, temperature in 0.5..4.0,
    ) {
        for device in double_devices() {
            let logits = |values: &[f64]| tensor(values, [BATCH, CLASSES], &device);
            let loss = |own: Tensor<2>, target| {
                fused_distillation(own, logits(&teacher), fuse, temperature, target).mean()
            };
            let leaf = logits(&student).require_grad();
            let gradients = loss(leaf.clone(), FusedTarget::WithGradient).backward();
            let slopes = differences(&student, |own| loss(logits(own), FusedTarget::WithGradient));
            check("with gradient", leaf.grad(&gradients), &slopes);

            let gradients = loss(leaf.clone(), FusedTarget::Detached).backward();
            let fixed = logits(&teacher) * fuse + logits(&student) * (1.0 - fuse);
            let slopes = differences(&student, |own| {
                regulus_losses::distillation(logits(own), fixed.clone(), temperature).mean()
            });
            check("detached", leaf.grad(&gradients), &slopes);
        }
    }

    #[test]
    fn of_masks_is_that_of_the_weight_times_the_weight(
        weight in numbers(CLASSES * WIDTH), mask in numbers(CLASSES * WIDTH), x in numbers(BATCH * WIDTH),
    ) {
        for device in double_devices() {
            let shape = [CLASSES, WIDTH];
            let loss = |weight: Tensor<2>| {
                let logits = tensor(&x, [BATCH, WIDTH], &device).matmul(weight.transpose());
                cross_entropy(logits, labels(&device)).mean()
            };
            let leaf = tensor(&mask, shape, &device).require_grad();
            let gradients = loss(masked_weight(tensor(&weight, shape, &device), leaf.clone(), 0.5)).backward();
            let masked: Vec<f64> = weight.iter().zip(&mask).map(|(w, &m)| if m > 0.5 { *w } else { 0.0 }).collect();
            let slopes = differences(&masked, |weight| loss(tensor(weight, shape, &device)));
            let slopes: Vec<f64> = slopes.iter().zip(&weight).map(|(slope, weight)| slope * weight).collect();
            check("mask", leaf.grad(&gradients), &slopes);

            let norm = |mask: Tensor<2>| mask_regulariser([mask.flatten(0, 1)], 0.3).unwrap();
            let gradients = norm(leaf.clone()).backward();
            let slopes = differences(&mask, |mask| norm(tensor(mask, shape, &device)));
            check("regulariser", leaf.grad(&gradients), &slopes);
        }
    }
}
