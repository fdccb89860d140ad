//! Objectives without a recorded trajectory, against their formulas, and the cached teacher against the
//! one that is asked at every step.

use burn::tensor::activation;
use regulus_clip::Clip;
use regulus_datasets::LabelledImages;
use regulus_images::Preprocess;
use regulus_losses::TeacherWeight;
use regulus_trainer::batches::{Augmentation, Batch, BatchSource, ImageSet, Sampler};
use regulus_trainer::experiment::HeadInit;
use regulus_trainer::method::Method;
use regulus_trainer::methods::{FineTune, Head, HeadStart, Regulariser};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

use crate::support::{Case, RecordedBatches, compare, device, host, tiny_clip, token_rows};

const SMOOTHING: f64 = 0.2;

fn method(common: &Case, clip: &Clip, head: HeadInit, regulariser: Regulariser) -> FineTune {
    let features = text_features(clip, &[token_rows(common, "tokens")], Averaging::UnitFirst);
    let teacher = ZeroShot::new(clip.clone(), features.clone());
    let start = match head {
        HeadInit::Prompt => HeadStart::Prompt(features),
        HeadInit::Fresh => HeadStart::Fresh { classes: 5, seed: 1 },
        HeadInit::Promptless => HeadStart::Promptless { classes: 5, seed: 1 },
    };
    FineTune::new(clip.clone(), Head::new(clip, start, true, false), teacher, regulariser)
}

fn loss(method: &FineTune, parameters: &Parameters, batch: &Batch) -> f64 {
    Method::step(method, parameters, batch).loss
}

#[test]
fn label_smoothing_mixes_in_the_uniform_distribution() {
    let (common, device) = (Case::open("common"), device());
    let clip = tiny_clip(&common, &device);
    let batch = RecordedBatches { common: &common, device: &device }.at(0).unwrap();
    let smoothed =
        method(&common, &clip, HeadInit::Prompt, Regulariser::LabelSmoothing { epsilon: SMOOTHING });
    let parameters = smoothed.parameters();
    let logits = smoothed.logits(&parameters, batch.pixels.clone());
    let log_probabilities = host(activation::log_softmax(logits, 1));
    let labels: Vec<usize> = common.flat("labels")[..4].iter().map(|&label| label as usize).collect();
    let expected: f64 = log_probabilities
        .chunks(5)
        .zip(&labels)
        .map(|(row, &label)| {
            let uniform = row.iter().sum::<f64>() / 5.0;
            -((1.0 - SMOOTHING) * row[label] + SMOOTHING * uniform) / 4.0
        })
        .sum();
    compare("loss", &[loss(&smoothed, &parameters, &batch)], &[expected], 1e-5);
}

#[test]
fn the_spring_is_slack_at_the_start_and_pulls_back_after() {
    let (common, device) = (Case::open("common"), device());
    let clip = tiny_clip(&common, &device);
    let batch = RecordedBatches { common: &common, device: &device }.at(0).unwrap();
    let (alpha, beta) = (0.5, 0.25);
    for head in [HeadInit::Prompt, HeadInit::Fresh, HeadInit::Promptless] {
        let plain = method(&common, &clip, head, Regulariser::None);
        let spring = method(&common, &clip, head, Regulariser::L2Sp { alpha, beta });
        let start = plain.parameters();
        let moved = start.map(|_, leaf| leaf.value.clone() + 0.01);
        // Half the strength times the squared way of every value; a fresh head is pulled to 0.
        let pull = |parameters: &Parameters, shift: f64| -> f64 {
            let pulls = parameters.iter().map(|(name, leaf)| match name.contains("head.") {
                true => beta / 2.0 * host(leaf.value.clone()).iter().map(|w| w * w).sum::<f64>(),
                false => alpha / 2.0 * shift * shift * leaf.shape.iter().product::<usize>() as f64,
            });
            pulls.sum()
        };
        for (parameters, shift) in [(&start, 0.0), (&moved, 0.01)] {
            let difference = loss(&spring, parameters, &batch) - loss(&plain, parameters, &batch);
            let expected = pull(parameters, shift);
            compare("spring", &[difference], &[expected], 1e-5 + 1e-3 * expected);
        }
        let with = Method::step(&spring, &moved, &batch).gradients;
        let without = Method::step(&plain, &moved, &batch).gradients;
        let name = "visual.conv1.weight";
        let pulled = host(with[name].clone() - without[name].clone());
        compare("gradient", &pulled, &vec![alpha * 0.01; pulled.len()], 1e-5);
    }
}

#[test]
fn a_cached_teacher_says_what_the_teacher_says() {
    let (common, device) = (Case::open("common"), device());
    let clip = tiny_clip(&common, &device);
    let pixels = (0..12 * 16 * 16 * 3).map(|value| (value * 37 % 251) as u8).collect::<Vec<u8>>();
    let images =
        LabelledImages { side: 16, pixels: pixels.into(), labels: (0..12).map(|index| index % 5).collect() };
    let preprocess = Preprocess::clip(16);
    let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
    let sampler =
        Sampler { images: set, originals: &images, seed: 4, batch: 4, augmentation: Augmentation::None };
    let regulariser = Regulariser::ProReg { form: TeacherWeight::Prob, alpha: 2.0, temperature: 1.0 };
    let asking = method(&common, &clip, HeadInit::Prompt, regulariser);
    let mut caching = asking.clone();
    caching.prepare(&sampler.unchanging().unwrap());
    let parameters = asking.parameters().map(|_, leaf| leaf.value.clone() * 1.01);
    for step in 0..3 {
        let batch = sampler.batch(step).unwrap().unwrap();
        let (one, other) = (loss(&asking, &parameters, &batch), loss(&caching, &parameters, &batch));
        compare("loss", &[one], &[other], 1e-5);
    }
}

#[test]
fn a_promptless_head_is_trained_with_the_tower() {
    let (common, device) = (Case::open("common"), device());
    let clip = tiny_clip(&common, &device);
    let batch = RecordedBatches { common: &common, device: &device }.at(0).unwrap();
    let regularisers = [
        Regulariser::None,
        Regulariser::ConstantDistillation { alpha: 0.5, temperature: 1.0 },
        Regulariser::ProReg { form: TeacherWeight::Prob, alpha: 2.0, temperature: 1.0 },
        Regulariser::L2Sp { alpha: 0.1, beta: 0.1 },
    ];
    for regulariser in regularisers {
        let method = method(&common, &clip, HeadInit::Promptless, regulariser);
        let parameters = method.parameters();
        let head: Vec<&String> =
            parameters.iter().map(|(name, _)| name).filter(|n| method.is_head(n)).collect();
        assert_eq!(head.len(), 6);
        assert!(head.iter().all(|name| name.starts_with("cls_head.")), "{head:?}");
        let gradients = Method::step(&method, &parameters, &batch).gradients;
        for name in head.into_iter().map(String::as_str).chain(["visual.conv1.weight"]) {
            let moves = host(gradients[name].clone()).iter().any(|value| *value != 0.0);
            assert!(moves, "{name} has no gradient");
        }
    }
}
